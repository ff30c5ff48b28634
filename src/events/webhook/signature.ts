/** Signatures of webhooks, as Standard Webhooks 1.0 says: HMAC-SHA256 over id, timestamp and body. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { TonetapError } from "../../core/errors.ts";

/** `whsec_` and 24–64 bytes in base64. */
const SECRET = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/;
const TOLERANCE_S = 300;

/** @throws TonetapError invalid-argument; the secret is not in the message */
export function parseSecret(secret: string): Buffer {
  const key = Buffer.from(SECRET.exec(secret)?.[1] ?? "", "base64");
  if (key.length < 24 || key.length > 64) {
    throw new TonetapError("invalid-argument", "a webhook secret must be whsec_ and 24–64 bytes in base64");
  }
  return key;
}

/** One signature a key, so that a key can be changed without a gap: `v1,<base64> v1,<base64>`. */
export function signWebhook(
  keys: readonly Uint8Array[],
  id: string,
  timestampS: number,
  body: Uint8Array,
): string {
  return keys
    .map(
      (key) => `v1,${createHmac("sha256", key).update(`${id}.${timestampS}.`).update(body).digest("base64")}`,
    )
    .join(" ");
}

/** Headers of a webhook request, lower case, as `node:http` gives them. */
export interface WebhookHeaders {
  readonly "webhook-id"?: string;
  readonly "webhook-timestamp"?: string;
  readonly "webhook-signature"?: string;
}

/**
 * For whoever receives webhooks: returns if the body is ours and new.
 * @param body as it came, before any parsing
 * @param nowS seconds since 1970; a timestamp more than five minutes away is refused
 * @throws TonetapError policy when the signature or the time is wrong, invalid-argument for a secret that is none
 */
export function verifyWebhook(secret: string, headers: WebhookHeaders, body: Uint8Array, nowS: number): void {
  const key = parseSecret(secret);
  const {
    "webhook-id": id = "",
    "webhook-timestamp": timestamp = "",
    "webhook-signature": given = "",
  } = headers;
  const timestampS = Number(timestamp);
  if (!/^\d+$/.test(timestamp) || Math.abs(nowS - timestampS) > TOLERANCE_S) {
    throw new TonetapError("policy", "the webhook's timestamp is not of now");
  }
  const expected = Buffer.from(signWebhook([key], id, timestampS, body));
  const matches = given.split(" ").some((signature) => {
    const bytes = Buffer.from(signature);
    return bytes.length === expected.length && timingSafeEqual(bytes, expected);
  });
  if (!matches) throw new TonetapError("policy", "the webhook's signature is wrong");
}
