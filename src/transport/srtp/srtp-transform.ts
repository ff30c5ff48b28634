/** What a cipher does to single packets, given their index. Indices, replays and SSRCs are srtp-receiver.ts and srtp-sender.ts. */
import type { SrtpSessionKeys } from "./key-derivation.ts";

/** Octets of SRTCP's index word. RFC 3711 §3.4. */
export const SRTCP_INDEX_BYTES = 4;
/** RFC 3711 §3.4: the E bit, above the index: the packet is encrypted. */
export const SRTCP_ENCRYPTED = 0x8000_0000;
/** RTCP's first header and the sender's SSRC stay in the clear. RFC 3711 §3.4. */
export const SRTCP_CLEAR_BYTES = 8;

export interface SrtpTransform {
  /** What protection adds to an RTP packet, bytes. */
  readonly rtpOverheadBytes: number;
  /** What it adds to an RTCP packet, the index word included. */
  readonly rtcpOverheadBytes: number;
  /** Where RTCP's index word begins, counted back from the packet's end. */
  readonly rtcpIndexFromEnd: number;
  /**
   * Verifies and decrypts in place. The plain packet is `packet` without its last `rtpOverheadBytes`.
   * @returns false, with `packet` untouched, when it is not authentic.
   */
  openRtp(packet: Uint8Array, headerBytes: number, ssrc: number, index: number): boolean;
  /** `packet` protected, in memory of its own. */
  sealRtp(packet: Uint8Array, headerBytes: number, ssrc: number, index: number): Uint8Array;
  /** As openRtp; `encrypted` is the E bit and `index` the rest of the index word. */
  openRtcp(packet: Uint8Array, ssrc: number, index: number, encrypted: boolean): boolean;
  sealRtcp(packet: Uint8Array, ssrc: number, index: number): Uint8Array;
}

/** Session keys of one direction, and the identifier that each packet carries: empty for none. */
export interface TransformKeys {
  readonly rtp: SrtpSessionKeys;
  readonly rtcp: SrtpSessionKeys;
  readonly mki: Uint8Array;
}

/** Whether the packet names the key that is used. Counter mode does not authenticate an MKI, so it is compared. */
export function hasMki(packet: Uint8Array, at: number, mki: Uint8Array): boolean {
  for (let i = 0; i < mki.length; i++) if (packet[at + i] !== mki[i]) return false;
  return true;
}
