/**
 * HTTP digest authentication as SIP uses it (RFC 7616, RFC 8760): the arithmetic and the header fields. Who may call is
 * digest-guard.ts; being asked ourselves is sip-registration.ts.
 */
import { createHash } from "node:crypto";
import { parseAuth } from "./sip-header.ts";
import { fromUtf8 } from "./sip-message.ts";

/** Strongest first: RFC 8760 §2.4 has the challenged side take the topmost that it knows. */
export const DIGEST_ALGORITHMS = ["SHA-256", "MD5"] as const;
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number];

/** What a `WWW-Authenticate` or `Proxy-Authenticate` asks. */
export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly algorithm: DigestAlgorithm;
  readonly opaque: string | undefined;
  /** The credentials were right, the nonce was not: try again without asking anybody. */
  readonly stale: boolean;
}

/** What an `Authorization` says. All text is header text: one character a byte. */
export interface DigestCredentials {
  readonly username: string;
  readonly realm: string;
  readonly nonce: string;
  readonly uri: string;
  readonly algorithm: string;
  readonly qop: string;
  readonly cnonce: string;
  /** Eight hexadecimal digits: how often the nonce has been used. */
  readonly nc: string;
  /** Lower-case hexadecimal. */
  readonly response: string;
}

const hash = (algorithm: DigestAlgorithm, text: string): string =>
  createHash(algorithm === "MD5" ? "md5" : "sha256")
    .update(text, "latin1")
    .digest("hex");

/** RFC 7616 §3.4.2: what is kept of a password. User and password as people write them. */
export const digestSecret = (
  algorithm: DigestAlgorithm,
  user: string,
  realm: string,
  password: string,
): string => hash(algorithm, fromUtf8(`${user}:${realm}:${password}`));

/** RFC 7616 §3.4.1 with qop=auth. @param secret of {@link digestSecret}. */
export function digestResponse(
  algorithm: DigestAlgorithm,
  secret: string,
  method: string,
  { nonce, nc, cnonce, uri }: Pick<DigestCredentials, "nonce" | "nc" | "cnonce" | "uri">,
): string {
  const request = hash(algorithm, `${method}:${uri}`);
  return hash(algorithm, [secret, nonce, nc, cnonce, "auth", request].join(":"));
}

/** Writes a challenge. */
export function formatChallenge({ realm, nonce, algorithm, stale }: DigestChallenge): string {
  const tail = stale ? ", stale=true" : "";
  return `Digest realm="${realm}", nonce="${nonce}", algorithm=${algorithm}, qop="auth"${tail}`;
}

/** Reads a challenge that we can answer; undefined for any other scheme, algorithm or quality of protection. */
export function parseChallenge(text: string): DigestChallenge | undefined {
  const { scheme, params } = parseAuth(text) ?? {};
  if (scheme !== "digest" || params === undefined) return undefined;
  const [realm, nonce, asked] = [params.get("realm"), params.get("nonce"), params.get("algorithm") ?? "MD5"];
  const algorithm = DIGEST_ALGORITHMS.find((name) => name === asked.toUpperCase());
  const protections = (params.get("qop") ?? "").toLowerCase().split(/[\s,]+/);
  if (realm === undefined || nonce === undefined || algorithm === undefined) return undefined;
  if (!protections.includes("auth")) return undefined;
  const stale = params.get("stale")?.toLowerCase() === "true";
  return { realm, nonce, algorithm, opaque: params.get("opaque"), stale };
}

/** Writes credentials. RFC 7616 §3.4: `algorithm`, `qop` and `nc` go without quotes. */
export function formatCredentials(credentials: DigestCredentials, opaque: string | undefined): string {
  const { username, realm, nonce, uri, response, algorithm, cnonce, nc } = credentials;
  const quoted = Object.entries({
    username,
    realm,
    nonce,
    uri,
    response,
    cnonce,
    ...(opaque === undefined ? {} : { opaque }),
  })
    .map(([name, value]) => `${name}="${value.replace(/["\\]/g, "\\$&")}"`)
    .join(", ");
  return `Digest ${quoted}, algorithm=${algorithm}, qop=auth, nc=${nc}`;
}

/** Reads credentials of the scheme Digest; what is left out is empty. Undefined for another scheme. */
export function parseCredentials(text: string): DigestCredentials | undefined {
  const { scheme, params } = parseAuth(text) ?? {};
  if (scheme !== "digest" || params === undefined) return undefined;
  const get = (name: string): string => params.get(name) ?? "";
  return {
    username: get("username"),
    realm: get("realm"),
    nonce: get("nonce"),
    uri: get("uri"),
    // RFC 7616 §3.4: MD5 if it is not said.
    algorithm: (params.get("algorithm") ?? "MD5").toUpperCase(),
    qop: get("qop").toLowerCase(),
    cnonce: get("cnonce"),
    nc: get("nc"),
    response: get("response").toLowerCase(),
  };
}
