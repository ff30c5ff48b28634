/** AEAD_AES_128_GCM and AEAD_AES_256_GCM on single packets: RFC 7714. One OpenSSL cipher a packet: GCM cannot be rewound. */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from "node:crypto";
import { writeU16, writeU32 } from "../bytes.ts";
import type { SrtpSessionKeys } from "./key-derivation.ts";
import {
  hasMki,
  SRTCP_CLEAR_BYTES,
  SRTCP_ENCRYPTED,
  SRTCP_INDEX_BYTES,
  type SrtpTransform,
  type TransformKeys,
} from "./srtp-transform.ts";

const TAG_BYTES = 16;
const IV_BYTES = 12;
const GCM_OPTIONS = { authTagLength: TAG_BYTES };
/** Shared by all: everything here is synchronous. */
const iv = new Uint8Array(IV_BYTES);
const rtcpAad = new Uint8Array(SRTCP_CLEAR_BYTES + SRTCP_INDEX_BYTES);

/** RFC 7714 §12: the tag belongs to the ciphertext; an MKI, and before it RTCP's index word, come after it. */
export function createAesGcm({ mki, ...keys }: TransformKeys): SrtpTransform {
  const rtp = new GcmKey(keys.rtp);
  const rtcp = new GcmKey(keys.rtcp);
  const rtpOverheadBytes = TAG_BYTES + mki.length;
  const rtcpIndexFromEnd = SRTCP_INDEX_BYTES + mki.length;
  const rtcpOverheadBytes = TAG_BYTES + rtcpIndexFromEnd;
  return {
    rtpOverheadBytes,
    rtcpOverheadBytes,
    rtcpIndexFromEnd,

    openRtp(packet, headerBytes, ssrc, index) {
      if (!hasMki(packet, packet.length - mki.length, mki)) return false;
      rtp.setRtpIv(ssrc, index);
      return rtp.open(packet, packet.subarray(0, headerBytes), headerBytes, packet.length - rtpOverheadBytes);
    },

    sealRtp(packet, headerBytes, ssrc, index) {
      const out = new Uint8Array(packet.length + rtpOverheadBytes);
      out.set(packet.subarray(0, headerBytes));
      rtp.setRtpIv(ssrc, index);
      rtp.seal(packet, packet.subarray(0, headerBytes), headerBytes, out);
      out.set(mki, packet.length + TAG_BYTES);
      return out;
    },

    openRtcp(packet, ssrc, index, encrypted) {
      const end = packet.length - rtcpOverheadBytes;
      const wordAt = packet.length - rtcpIndexFromEnd;
      const word = packet.subarray(wordAt, wordAt + SRTCP_INDEX_BYTES);
      if (!hasMki(packet, packet.length - mki.length, mki)) return false;
      rtcp.setRtcpIv(ssrc, index);
      if (encrypted) {
        rtcpAad.set(packet.subarray(0, SRTCP_CLEAR_BYTES));
        rtcpAad.set(word, SRTCP_CLEAR_BYTES);
        return rtcp.open(packet, rtcpAad, SRTCP_CLEAR_BYTES, end);
      }
      // RFC 7714 §9.3: all of an unencrypted packet is associated data.
      const aad = new Uint8Array(end + SRTCP_INDEX_BYTES);
      aad.set(packet.subarray(0, end));
      aad.set(word, end);
      return rtcp.open(packet, aad, end, end);
    },

    sealRtcp(packet, ssrc, index) {
      const out = new Uint8Array(packet.length + rtcpOverheadBytes);
      out.set(packet.subarray(0, SRTCP_CLEAR_BYTES));
      const wordAt = packet.length + TAG_BYTES;
      writeU32(out, wordAt, SRTCP_ENCRYPTED + index);
      rtcpAad.set(packet.subarray(0, SRTCP_CLEAR_BYTES));
      writeU32(rtcpAad, SRTCP_CLEAR_BYTES, SRTCP_ENCRYPTED + index);
      rtcp.setRtcpIv(ssrc, index);
      rtcp.seal(packet, rtcpAad, SRTCP_CLEAR_BYTES, out);
      out.set(mki, wordAt + SRTCP_INDEX_BYTES);
      return out;
    },
  };
}

class GcmKey {
  readonly #algorithm: CipherGCMTypes;
  /** A KeyObject, not bytes: with bytes OpenSSL's setup takes five times as long. */
  readonly #key: KeyObject;
  readonly #salt: Uint8Array;

  constructor({ encryption, salt }: SrtpSessionKeys) {
    this.#algorithm = encryption.length === 32 ? "aes-256-gcm" : "aes-128-gcm";
    this.#key = createSecretKey(encryption);
    this.#salt = salt;
  }

  /** RFC 7714 §8.1. */
  setRtpIv(ssrc: number, index: number): void {
    writeU16(iv, 0, 0);
    writeU32(iv, 2, ssrc);
    writeU32(iv, 6, Math.floor(index / 0x1_0000));
    writeU16(iv, 10, index);
    this.#saltIv();
  }

  /** RFC 7714 §9.1. */
  setRtcpIv(ssrc: number, index: number): void {
    writeU16(iv, 0, 0);
    writeU32(iv, 2, ssrc);
    writeU16(iv, 6, 0);
    writeU32(iv, 8, index);
    this.#saltIv();
  }

  /** Decrypts `packet` from `start` to `end`, where its tag begins. */
  open(packet: Uint8Array, aad: Uint8Array, start: number, end: number): boolean {
    const decipher = createDecipheriv(this.#algorithm, this.#key, iv, GCM_OPTIONS);
    decipher.setAAD(aad);
    decipher.setAuthTag(packet.subarray(end, end + TAG_BYTES));
    const plain = decipher.update(packet.subarray(start, end));
    try {
      decipher.final();
    } catch {
      return false;
    }
    packet.set(plain, start);
    return true;
  }

  /** Encrypts `packet` from `start` on into `out`, the tag after it. */
  seal(packet: Uint8Array, aad: Uint8Array, start: number, out: Uint8Array): void {
    const cipher = createCipheriv(this.#algorithm, this.#key, iv, GCM_OPTIONS);
    cipher.setAAD(aad);
    out.set(cipher.update(packet.subarray(start)), start);
    cipher.final();
    out.set(cipher.getAuthTag(), packet.length);
  }

  #saltIv(): void {
    for (let i = 0; i < IV_BYTES; i++) iv[i] = (iv[i] ?? 0) ^ (this.#salt[i] ?? 0);
  }
}
