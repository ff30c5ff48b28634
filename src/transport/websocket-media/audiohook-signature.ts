/**
 * Whether an AudioHook request was signed by Genesys Cloud: HTTP message signatures (RFC 9421; AudioHook is of its draft
 * 11) with HMAC-SHA256 over the components that the AudioHook security page requires.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { WallMs } from "../../core/units.ts";

const REQUIRED = [
  "@request-target",
  "@authority",
  "audiohook-organization-id",
  "audiohook-session-id",
  "audiohook-correlation-id",
  "x-api-key",
] as const;

/** s that clocks may differ, and that a signature is good for, whatever `expires` says. */
const MAX_SKEW_S = 3;
const MAX_AGE_S = 10;

/** `sig1=("a" "b");keyid="…";created=1`. */
const SIGNATURE_INPUT =
  /^([a-z*][\w.*-]*)=(\(("[^"\\]+"(?: "[^"\\]+")*)?\)((?:;[a-z]+=(?:"[^"\\]*"|\d{1,15}))*))$/;

/**
 * @param secrets API key → client secret in base64
 * @returns why it is not good, in words that tell a stranger nothing of the keys; undefined if it is
 */
export function verifyAudioHookSignature(
  request: Pick<IncomingMessage, "headers" | "url">,
  secrets: ReadonlyMap<string, string>,
  nowMs: WallMs,
): string | undefined {
  const { headers } = request;
  const input = SIGNATURE_INPUT.exec(header(headers, "signature-input"));
  if (input === null) return "the request is not signed";
  const [, label = "", signed = "", names = "", parameters = ""] = input;
  const given = new RegExp(`^${quoted(label)}=:([A-Za-z0-9+/]+={0,2}):$`).exec(
    header(headers, "signature"),
  )?.[1];
  if (given === undefined) return "Signature and Signature-Input are of different labels";

  const keyId = /;keyid="([^"]*)"/.exec(parameters)?.[1] ?? "";
  const algorithm = /;alg="([^"]*)"/.exec(parameters)?.[1] ?? "hmac-sha256";
  const created = Number(/;created=(\d+)/.exec(parameters)?.[1] ?? Number.NaN);
  const expires = Number(/;expires=(\d+)/.exec(parameters)?.[1] ?? Number.POSITIVE_INFINITY);
  const nowS = nowMs / 1000;
  if (algorithm !== "hmac-sha256") return "the signature must be hmac-sha256";
  if (keyId !== header(headers, "x-api-key")) return "keyid is another than X-API-KEY";
  if (!(created <= nowS + MAX_SKEW_S)) return "the signature has no creation time, or one in the future";
  if (nowS > Math.min(created + MAX_AGE_S, expires) + MAX_SKEW_S) return "the signature has expired";

  const components = names.split(" ").map((name) => name.slice(1, -1));
  if (!REQUIRED.every((name) => components.includes(name))) return "the signature leaves out a component";
  const base = components.map((name) => `"${name}": ${component(request, name)}`);
  base.push(`"@signature-params": ${signed}`);
  // An unknown key takes as long as a wrong signature.
  const secret = Buffer.from(secrets.get(keyId) ?? "AA==", "base64");
  const expected = createHmac("sha256", secret).update(base.join("\n")).digest();
  const got = Buffer.from(given, "base64");
  const isRight = got.length === expected.length && timingSafeEqual(got, expected);
  return isRight && secrets.has(keyId) ? undefined : "the signature is wrong";
}

function component({ headers, url }: Pick<IncomingMessage, "headers" | "url">, name: string): string {
  if (name === "@request-target") return url ?? "";
  if (name === "@authority") return header(headers, "host");
  return header(headers, name);
}

function header(headers: IncomingMessage["headers"], name: string): string {
  const value = headers[name];
  return (Array.isArray(value) ? value.join(", ") : (value ?? "")).trim();
}

const quoted = (text: string): string => text.replaceAll(/[.*]/g, "\\$&");
