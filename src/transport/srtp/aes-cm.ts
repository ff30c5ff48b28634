/**
 * AES_CM_128_HMAC_SHA1_80 and _32 on single packets: RFC 3711 §4. Counter mode is ECB over counter blocks, so that one
 * OpenSSL cipher serves all packets of a key; HMAC is two one-shot hashes. Together they take half of GCM's time.
 */
import { type Cipheriv, createCipheriv, createSecretKey, hash } from "node:crypto";
import { readU8, writeU16, writeU32 } from "../bytes.ts";
import type { SrtpSessionKeys } from "./key-derivation.ts";
import {
  hasMki,
  SRTCP_CLEAR_BYTES,
  SRTCP_ENCRYPTED,
  SRTCP_INDEX_BYTES,
  type SrtpTransform,
  type TransformKeys,
} from "./srtp-transform.ts";

const BLOCK_BYTES = 16;
/** RFC 2104: block and output of SHA-1. */
const SHA1_BLOCK_BYTES = 64;
const SHA1_BYTES = 20;

/** What a datagram can hold; the scratch memory below grows to what really comes. */
let counterBlocks = new Uint8Array(2048);
let innerBlocks = Buffer.alloc(2048);
const outerBlocks = Buffer.alloc(SHA1_BLOCK_BYTES + SHA1_BYTES);

/** RFC 3711 §3.1: an MKI stands before the tag, and neither is authenticated. */
export function createAesCm(
  { mki, ...keys }: TransformKeys,
  rtpTagBytes: number,
  rtcpTagBytes: number,
): SrtpTransform {
  const rtp = new CounterModeKey(keys.rtp, rtpTagBytes);
  const rtcp = new CounterModeKey(keys.rtcp, rtcpTagBytes);
  const rtpOverheadBytes = mki.length + rtpTagBytes;
  const rtcpIndexFromEnd = SRTCP_INDEX_BYTES + mki.length + rtcpTagBytes;
  const rtcpOverheadBytes = rtcpIndexFromEnd;
  return {
    rtpOverheadBytes,
    rtcpOverheadBytes,
    rtcpIndexFromEnd,

    openRtp(packet, headerBytes, ssrc, index) {
      const end = packet.length - rtpOverheadBytes;
      if (!hasMki(packet, end, mki)) return false;
      if (!rtp.verifies(packet, end, Math.floor(index / 0x1_0000))) return false;
      rtp.crypt(packet, headerBytes, end, ssrc, index);
      return true;
    },

    sealRtp(packet, headerBytes, ssrc, index) {
      const out = new Uint8Array(packet.length + rtpOverheadBytes);
      out.set(packet);
      rtp.crypt(out, headerBytes, packet.length, ssrc, index);
      out.set(mki, packet.length);
      rtp.sign(out, packet.length, Math.floor(index / 0x1_0000));
      return out;
    },

    openRtcp(packet, ssrc, index, encrypted) {
      const end = packet.length - rtcpOverheadBytes;
      if (!hasMki(packet, end + SRTCP_INDEX_BYTES, mki)) return false;
      if (!rtcp.verifies(packet, end + SRTCP_INDEX_BYTES)) return false;
      if (encrypted) rtcp.crypt(packet, SRTCP_CLEAR_BYTES, end, ssrc, index);
      return true;
    },

    sealRtcp(packet, ssrc, index) {
      const out = new Uint8Array(packet.length + rtcpOverheadBytes);
      out.set(packet);
      rtcp.crypt(out, SRTCP_CLEAR_BYTES, packet.length, ssrc, index);
      writeU32(out, packet.length, SRTCP_ENCRYPTED + index);
      out.set(mki, packet.length + SRTCP_INDEX_BYTES);
      rtcp.sign(out, packet.length + SRTCP_INDEX_BYTES);
      return out;
    },
  };
}

class CounterModeKey {
  readonly #ecb: Cipheriv;
  /** RFC 3711 §4.1.1: the salt, shifted by 16 bits. */
  readonly #salt = new Uint8Array(BLOCK_BYTES);
  readonly #tagBytes: number;
  /** RFC 2104: the key with its inner and outer padding. */
  readonly #inner = new Uint8Array(SHA1_BLOCK_BYTES).fill(0x36);
  readonly #outer = new Uint8Array(SHA1_BLOCK_BYTES).fill(0x5c);

  constructor({ encryption, salt, authentication }: SrtpSessionKeys, tagBytes: number) {
    this.#ecb = createCipheriv("aes-128-ecb", createSecretKey(encryption), null).setAutoPadding(false);
    this.#salt.set(salt);
    this.#tagBytes = tagBytes;
    authentication.forEach((byte, i) => {
      this.#inner[i] = byte ^ 0x36;
      this.#outer[i] = byte ^ 0x5c;
    });
  }

  /** Encrypts or decrypts `packet` from `start` to `end` in place. */
  crypt(packet: Uint8Array, start: number, end: number, ssrc: number, index: number): void {
    const bytes = BLOCK_BYTES * Math.ceil((end - start) / BLOCK_BYTES);
    if (bytes === 0) return;
    const keystream = this.#ecb.update(this.#counters(bytes, ssrc, index));
    for (let i = start; i < end; i++) packet[i] = readU8(packet, i) ^ readU8(keystream, i - start);
  }

  /** Writes the tag of `packet`'s first `end` bytes at its end. */
  sign(packet: Uint8Array, end: number, rolloverCounter?: number): void {
    const digest = this.#digest(packet, end, rolloverCounter);
    const at = packet.length - this.#tagBytes;
    for (let i = 0; i < this.#tagBytes; i++) packet[at + i] = digest.charCodeAt(i);
  }

  /** Compares in constant time. */
  verifies(packet: Uint8Array, end: number, rolloverCounter?: number): boolean {
    const digest = this.#digest(packet, end, rolloverCounter);
    const at = packet.length - this.#tagBytes;
    let difference = 0;
    for (let i = 0; i < this.#tagBytes; i++) difference |= readU8(packet, at + i) ^ digest.charCodeAt(i);
    return difference === 0;
  }

  /** RFC 3711 §4.1.1: IV = salt·2¹⁶ ⊕ SSRC·2⁶⁴ ⊕ index·2¹⁶, and block i of the keystream is E(IV + i). */
  #counters(bytes: number, ssrc: number, index: number): Uint8Array {
    if (bytes > counterBlocks.length) counterBlocks = new Uint8Array(2 * bytes);
    const blocks = counterBlocks;
    writeU32(blocks, 0, 0);
    writeU32(blocks, 4, ssrc);
    writeU32(blocks, 8, Math.floor(index / 0x1_0000));
    writeU16(blocks, 12, index);
    for (let i = 0; i < 14; i++) blocks[i] = readU8(blocks, i) ^ readU8(this.#salt, i);
    for (let at = 0; at < bytes; at += BLOCK_BYTES) {
      if (at > 0) blocks.copyWithin(at, 0, 14);
      writeU16(blocks, at + 14, at / BLOCK_BYTES);
    }
    return blocks.subarray(0, bytes);
  }

  /** HMAC-SHA1, one character a byte. RFC 3711 §4.2: RTP's packets are followed by the rollover counter. */
  #digest(packet: Uint8Array, end: number, rolloverCounter: number | undefined): string {
    const length = SHA1_BLOCK_BYTES + end + (rolloverCounter === undefined ? 0 : 4);
    if (length > innerBlocks.length) innerBlocks = Buffer.alloc(2 * length);
    innerBlocks.set(this.#inner);
    innerBlocks.set(end === packet.length ? packet : packet.subarray(0, end), SHA1_BLOCK_BYTES);
    if (rolloverCounter !== undefined) writeU32(innerBlocks, SHA1_BLOCK_BYTES + end, rolloverCounter);
    outerBlocks.set(this.#outer);
    // Strings, not buffers: a buffer of its own costs more than the hash.
    outerBlocks.write(hash("sha1", innerBlocks.subarray(0, length), "binary"), SHA1_BLOCK_BYTES, "binary");
    return hash("sha1", outerBlocks, "binary");
  }
}
