/** The simplest answer to who may publish: a list of shared secrets. Keys with rights and owners are not kept here. */
import { createHash, timingSafeEqual } from "node:crypto";
import { TonetapError } from "../../core/errors.ts";

/** Characters of a token at least: what cannot be guessed. */
const MIN_LENGTH = 16;

/**
 * For {@link WhipEndpointOptions.authorize}: takes the tokens of a list, in a time that does not tell which is close.
 * @throws TonetapError invalid-argument for a token that is too short, or that no `Authorization: Bearer` can carry
 * (RFC 6750 §2.1); the message does not repeat it.
 */
export function acceptTokens(tokens: readonly string[]): (token: string | undefined) => boolean {
  for (const [index, token] of tokens.entries()) {
    if (token.length < MIN_LENGTH || !/^[\w.~+/-]+=*$/.test(token)) {
      throw new TonetapError(
        "invalid-argument",
        `token ${index + 1} must be at least ${MIN_LENGTH} of A–Z a–z 0–9 - . _ ~ + /, it has ${token.length} characters`,
      );
    }
  }
  const digests = tokens.map(digest);
  return (token) => {
    if (token === undefined) return false;
    const came = digest(token);
    // No early exit: every comparison takes its time.
    return digests.reduce((found, known) => timingSafeEqual(known, came) || found, false);
  };
}

/** Of one length whatever the token's, as timingSafeEqual wants it. */
const digest = (token: string): Buffer => createHash("sha256").update(token).digest();
