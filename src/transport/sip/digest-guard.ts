/**
 * Asks callers for digest credentials (RFC 3261 §22, RFC 8760) and checks them. Nonces carry their own proof, so that a
 * flood of requests without credentials leaves nothing behind; only a nonce that was used rightly is remembered.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import {
  DIGEST_ALGORITHMS,
  type DigestAlgorithm,
  type DigestCredentials,
  digestResponse,
  digestSecret,
  formatChallenge,
  parseCredentials,
} from "./digest.ts";
import { asUtf8, fromUtf8, headersOf } from "./sip-message.ts";
import { type IncomingRequest, type Refusal, refusal } from "./sip-request.ts";

export interface DigestOptions {
  /** Name → password. Passwords are not kept: only what RFC 7616 computes of them for this realm. */
  readonly users: ReadonlyMap<string, string>;
  /** Shown to who is asked. Printable ASCII without quotes and backslashes. Default `tonetap`. */
  readonly realm?: string;
  /** Default SHA-256, then MD5. */
  readonly algorithms?: readonly DigestAlgorithm[];
  /** How long a nonce is good for, ms. 1,000–86,400,000, default 300,000. */
  readonly nonceLifetimeMs?: number;
}

/** Nonces in use. Beyond it the oldest is as good as expired. */
const MAX_NONCES = 10_000;
const NONCE = /^([0-9a-z]{1,12})-[0-9a-f]{16}-[0-9a-f]{32}$/;

export class DigestGuard {
  readonly #clock: Clock;
  readonly #realm: string;
  readonly #algorithms: readonly DigestAlgorithm[];
  readonly #lifetimeMs: number;
  /** By algorithm, then by user in header text. */
  readonly #secrets: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly #key = randomBytes(32);
  /** The highest count that each nonce was used with, oldest use first. */
  readonly #used = new Map<string, number>();
  /** Nonces of this age and older are not known any more. */
  #forgottenMs = -1;

  /** @throws TonetapError invalid-argument */
  constructor(clock: Clock, options: DigestOptions) {
    const { users, realm = "tonetap", algorithms = DIGEST_ALGORITHMS, nonceLifetimeMs = 300_000 } = options;
    assertRange("sip digest.nonceLifetimeMs", nonceLifetimeMs, 1_000, 86_400_000, "ms");
    assert("realm", "printable ASCII without quotes", /^[ !#-[\]-~]{1,128}$/.test(realm), realm);
    assert("users", "at least one", users.size > 0, users.size);
    assert("algorithms", `some of ${DIGEST_ALGORITHMS.join(", ")}`, algorithms.length > 0, algorithms);
    this.#clock = clock;
    this.#realm = realm;
    this.#algorithms = algorithms;
    this.#lifetimeMs = nonceLifetimeMs;
    this.#secrets = new Map(
      algorithms.map((algorithm) => [
        algorithm,
        new Map(
          [...users].map(([user, password]) => [
            fromUtf8(user),
            digestSecret(algorithm, user, realm, password),
          ]),
        ),
      ]),
    );
  }

  /** Nonces that are remembered. */
  get size(): number {
    return this.#used.size;
  }

  /** Who asks, if the request proves it; else 401 with challenges, or 400 for credentials that cannot be read. */
  check({ message, method }: IncomingRequest): { readonly user: string } | Refusal {
    const credentials = headersOf(message, "Authorization")
      .map(parseCredentials)
      .find((candidate) => candidate?.realm === this.#realm);
    if (credentials === undefined) return this.#challenge(false, "credentials are asked for");
    const { algorithm, nc, cnonce, response, username, qop } = credentials;
    if (qop !== "auth" || cnonce === "" || !/^[0-9a-f]{8}$/i.test(nc) || !/^[0-9a-f]+$/.test(response)) {
      return refusal(400, "Authorization needs qop=auth, cnonce, nc and response (RFC 7616)");
    }
    const known = this.#algorithms.find((name) => name === algorithm);
    if (known === undefined) return this.#challenge(false, `${this.#algorithms.join(", ")} are taken`);
    const secret = this.#secrets.get(known)?.get(username);
    // The `uri` is what the caller signed; a proxy may have rewritten the Request-URI since, so the two are not compared.
    const want = digestResponse(known, secret ?? "", method, credentials);
    if (!sameText(want, response) || secret === undefined) {
      return { ...this.#challenge(false, "the credentials are wrong"), code: "unauthenticated" };
    }
    // RFC 7616 §3.3: right for a nonce that is not good (any more) is "stale", and nobody need be asked again.
    if (!this.#spend(credentials)) return this.#challenge(true, "the nonce is spent");
    return { user: asUtf8(username) };
  }

  /** Notes a use of the nonce; false if it is not ours, too old, or was used with this count already. */
  #spend({ nonce, nc }: DigestCredentials): boolean {
    const issuedMs = this.#issuedMs(nonce);
    if (issuedMs === undefined || issuedMs <= this.#forgottenMs) return false;
    if (this.#clock.now() - issuedMs > this.#lifetimeMs) return false;
    const count = Number.parseInt(nc, 16);
    if (count <= (this.#used.get(nonce) ?? 0)) return false;
    this.#used.delete(nonce);
    this.#used.set(nonce, count);
    this.#forgetOldest();
    return true;
  }

  /** What is not remembered must not be taken again: with an entry go all nonces that are as old. */
  #forgetOldest(): void {
    for (const nonce of this.#used.keys()) {
      const issuedMs = this.#issuedMs(nonce) ?? 0;
      const expired = this.#clock.now() - issuedMs > this.#lifetimeMs;
      if (!expired && this.#used.size <= MAX_NONCES) return;
      this.#used.delete(nonce);
      this.#forgottenMs = Math.max(this.#forgottenMs, issuedMs);
    }
  }

  #challenge(stale: boolean, why: string): Refusal {
    const nonce = this.#createNonce();
    const challenges = this.#algorithms.map((algorithm) =>
      formatChallenge({ realm: this.#realm, nonce, algorithm, opaque: undefined, stale }),
    );
    return refusal(401, why, { "WWW-Authenticate": challenges });
  }

  /** When, something random, and the proof that we said so. */
  #createNonce(): string {
    const begin = `${Math.floor(this.#clock.now()).toString(36)}-${randomBytes(8).toString("hex")}`;
    return `${begin}-${this.#proof(begin)}`;
  }

  #issuedMs(nonce: string): number | undefined {
    const [, issued = ""] = NONCE.exec(nonce) ?? [];
    const mark = nonce.lastIndexOf("-");
    if (issued === "" || !sameText(this.#proof(nonce.slice(0, mark)), nonce.slice(mark + 1)))
      return undefined;
    return Number.parseInt(issued, 36);
  }

  #proof(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("hex").slice(0, 32);
  }
}

/** In a time that does not tell where they differ. */
function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, "latin1"), Buffer.from(b, "latin1")];
  return left.length === right.length && timingSafeEqual(left, right);
}

function assert(name: string, want: string, holds: boolean, got: unknown): void {
  if (holds) return;
  throw new TonetapError(
    "invalid-argument",
    `sip digest.${name} must be ${want}, got ${JSON.stringify(got)}`,
  );
}
