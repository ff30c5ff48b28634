/** Builds RTP packets for tests: Opus by default, 20 ms each, numbered by a payload that can be recognised. */
import {
  COMFORT_NOISE,
  type CodecMap,
  OPUS,
  PCMU,
  RED_OPUS,
  type RtpPacket,
  TELEPHONE_EVENT,
} from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import type { RedCopy } from "../../src/transport/red.ts";

export const TEST_CODECS: CodecMap = new Map([
  [111, OPUS],
  [63, RED_OPUS],
  [0, PCMU],
  [13, COMFORT_NOISE],
  [101, TELEPHONE_EVENT],
]);

/** Ticks in a packet of opusPayload(). */
export const FRAME = 960;

/** A TOC of SILK wideband, 20 ms, one frame (RFC 6716 §3.1), and a number to know it by. */
export const opusPayload = (id: number): Uint8Array => Uint8Array.of(9 << 3, id >>> 16, id >>> 8, id);

/** The number in an opusPayload(). */
export const payloadId = (payload: Uint8Array): number =>
  ((payload[1] ?? 0) << 16) | ((payload[2] ?? 0) << 8) | (payload[3] ?? 0);

/** Packet `n` of a stream: sequence n, timestamp n · 960, arriving at n · 20 ms, unless said otherwise. */
export function opusPacket(n: number, changes: Partial<RtpPacket> = {}): RtpPacket {
  return {
    sequence: n & 0xffff,
    timestamp: (n * FRAME) >>> 0,
    ssrc: 1,
    payloadType: 111,
    marker: false,
    payload: opusPayload(n),
    arrivalMs: monotonicMs(n * 20),
    ...changes,
  };
}

/** A RED payload (RFC 2198). */
export function redPayload(
  primary: { readonly payloadType: number; readonly payload: Uint8Array },
  copies: readonly RedCopy[],
): Uint8Array {
  const bytes: number[] = [];
  for (const { payloadType, offsetTicks, payload } of copies) {
    bytes.push(
      0x80 | payloadType,
      offsetTicks >> 6,
      ((offsetTicks & 63) << 2) | (payload.length >> 8),
      payload.length & 255,
    );
  }
  bytes.push(primary.payloadType);
  for (const { payload } of copies) bytes.push(...payload);
  bytes.push(...primary.payload);
  return Uint8Array.from(bytes);
}

/** Packet `n` with copies of the `copies` packets before it. */
export const redPacket = (n: number, copies = 1, changes: Partial<RtpPacket> = {}): RtpPacket =>
  opusPacket(n, {
    payloadType: 63,
    payload: redPayload(
      { payloadType: 111, payload: opusPayload(n) },
      Array.from({ length: copies }, (_, i) => ({
        payloadType: 111,
        offsetTicks: (copies - i) * FRAME,
        payload: opusPayload(n - copies + i),
      })),
    ),
    ...changes,
  });
