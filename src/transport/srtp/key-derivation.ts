/** From a master key to the keys of one stream (RFC 3711 §4.3, RFC 6188 §3 for 256 bits). Without re-keying by index. */
import { createCipheriv } from "node:crypto";
import { type SrtpMasterKey, srtpSuiteInfo } from "./srtp-suite.ts";

/** RFC 3711 §4.3.2: what a derived key is for. RTCP's labels follow RTP's. */
const ENCRYPTION = 0;
const AUTHENTICATION = 1;
const SALT = 2;
const RTCP_OFFSET = 3;

/** RFC 3711 §5.2: the key of HMAC-SHA1. */
const AUTHENTICATION_KEY_BYTES = 20;

/** Keys of RTP or of RTCP in one direction. */
export interface SrtpSessionKeys {
  readonly encryption: Uint8Array;
  /** As long as the master salt. */
  readonly salt: Uint8Array;
  /** Empty for AES-GCM, which authenticates by itself. */
  readonly authentication: Uint8Array;
}

export function deriveSessionKeys(master: SrtpMasterKey, kind: "rtp" | "rtcp"): SrtpSessionKeys {
  const { aead, keyBytes, saltBytes } = srtpSuiteInfo(master.suite);
  const offset = kind === "rtp" ? 0 : RTCP_OFFSET;
  return {
    encryption: derive(master, offset + ENCRYPTION, keyBytes),
    salt: derive(master, offset + SALT, saltBytes),
    authentication: derive(master, offset + AUTHENTICATION, aead ? 0 : AUTHENTICATION_KEY_BYTES),
  };
}

/** RFC 3711 §4.3.3: AES in counter mode, started from the salt and the label. */
function derive({ key, salt }: SrtpMasterKey, label: number, bytes: number): Uint8Array {
  // RFC 7714 §11: a salt of 96 bits is padded on the right to 112.
  const start = new Uint8Array(16);
  start.set(salt);
  start[7] = (start[7] ?? 0) ^ label;
  return createCipheriv(`aes-${key.length * 8}-ctr`, key, start).update(new Uint8Array(bytes));
}
