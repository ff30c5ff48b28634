/** How long an Opus packet lasts, read from its first bytes. Decoding is stream/opus-decoder.ts. */

/** RFC 6716 §3.1, table 2: frame length in 48 kHz ticks by the five configuration bits. */
const FRAME_TICKS: readonly number[] = [
  ...[480, 960, 1920, 2880], // SILK narrowband
  ...[480, 960, 1920, 2880], // SILK medium band
  ...[480, 960, 1920, 2880], // SILK wideband
  ...[480, 960], // hybrid super-wideband
  ...[480, 960], // hybrid fullband
  ...[120, 240, 480, 960], // CELT narrowband
  ...[120, 240, 480, 960], // CELT wideband
  ...[120, 240, 480, 960], // CELT super-wideband
  ...[120, 240, 480, 960], // CELT fullband
];

/** RFC 6716 §3.4, R5: no packet lasts longer than 120 ms. */
const MAX_TICKS = 5760;

/** 48 kHz ticks of one packet, or undefined if its first bytes are not Opus. */
export function opusDurationTicks(payload: Uint8Array): number | undefined {
  const toc = payload[0];
  if (toc === undefined) return undefined;
  const code = toc & 3;
  // RFC 6716 §3.2: code 3 gives the number of frames in the low six bits of the second byte.
  const frames = code === 0 ? 1 : code < 3 ? 2 : (payload[1] ?? 0) & 63;
  const ticks = frames * (FRAME_TICKS[toc >> 3] ?? 0);
  return ticks > 0 && ticks <= MAX_TICKS ? ticks : undefined;
}
