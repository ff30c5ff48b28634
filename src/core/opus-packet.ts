/** Reads an Opus packet's header: how long it lasts, whether it is DTX, whether it carries FEC. Decoding is stream/opus-decoder.ts. */

/** RFC 6716 §3.1, table 2: frame length by configuration, in units of 2.5 ms. */
const FRAME_UNITS = [
  4, 8, 16, 24, 4, 8, 16, 24, 4, 8, 16, 24, 4, 8, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8,
] as const;
/** 2.5 ms at 16 kHz: the grain of all Opus lengths. */
export const OPUS_UNIT_SAMPLES = 40;
/** RFC 6716 §3.2.5 [R5]: a packet lasts at most 120 ms. */
const MAX_UNITS = 48;
/** Configurations from here on are CELT-only and carry no LBRR. */
const FIRST_CELT_CONFIG = 16;

/** Samples at 16 kHz of one Opus frame of this packet; 0 for an empty packet. RFC 6716 §3.1. */
export function opusFrameSamples(packet: Uint8Array): number {
  const toc = packet[0];
  return toc === undefined ? 0 : (FRAME_UNITS[toc >> 3] ?? 0) * OPUS_UNIT_SAMPLES;
}

/** Samples at 16 kHz of the whole packet; 0 when its header is not valid. */
export function opusPacketSamples(packet: Uint8Array): number {
  const toc = packet[0];
  if (toc === undefined) return 0;
  const code = toc & 3;
  // RFC 6716 §3.2: code 0 is one frame, 1 and 2 are two, 3 says how many in the next byte.
  const frames = code === 0 ? 1 : code === 3 ? (packet[1] ?? 0) & 63 : 2;
  const samples = frames * opusFrameSamples(packet);
  return samples > MAX_UNITS * OPUS_UNIT_SAMPLES ? 0 : samples;
}

/** A frame of at most one byte holds no audio: the sender is in DTX. RFC 6716 §3.2.1, RFC 7587 §3.1.3. */
export const isOpusDtx = (packet: Uint8Array): boolean => packet.length >= 1 && packet.length <= 2;

/**
 * Whether the packet carries the audio before it once more (LBRR). RFC 6716 §4.2.3: the SILK layer begins with one
 * voice-activity bit a 20 ms SILK frame and one LBRR bit, for each channel, each of probability 1/2, so that they
 * are the top bits of the first frame's first byte.
 */
export function hasOpusFec(packet: Uint8Array): boolean {
  const toc = packet[0];
  if (toc === undefined || toc >> 3 >= FIRST_CELT_CONFIG) return false;
  const at = firstFrameOffset(packet);
  const header = at === undefined ? undefined : packet[at];
  if (header === undefined) return false;
  const silkFrames = Math.max(1, opusFrameSamples(packet) / (8 * OPUS_UNIT_SAMPLES));
  const mid = header & (0x80 >> silkFrames);
  const stereo = (toc & 4) !== 0;
  const side = stereo ? header & (0x80 >> (2 * silkFrames + 1)) : 0;
  return (mid | side) !== 0;
}

/** Where the first frame's data begins; undefined when it is empty or the header is cut short. RFC 6716 §3.2. */
function firstFrameOffset(packet: Uint8Array): number | undefined {
  const code = (packet[0] ?? 0) & 3;
  if (code === 0) return packet.length > 2 ? 1 : undefined;
  if (code === 1) return packet.length > 2 ? 1 : undefined;
  if (code === 2) return afterLength(packet, 1);
  const count = packet[1];
  if (count === undefined) return undefined;
  let at = 2;
  // RFC 6716 §3.2.5: padding lengths come in bytes of which 255 means 254 and more to follow.
  if ((count & 0x40) !== 0) while (packet[at++] === 255);
  if ((count & 0x80) === 0) return at;
  const first = at;
  for (let frame = 1; frame < (count & 63); frame++) {
    at += (packet[at] ?? 0) >= 252 ? 2 : 1;
  }
  return (packet[first] ?? 0) === 0 ? undefined : at;
}

/** The offset behind a frame length of one or two bytes; undefined for an empty frame. RFC 6716 §3.2.1. */
function afterLength(packet: Uint8Array, at: number): number | undefined {
  const length = packet[at];
  if (length === undefined || length === 0) return undefined;
  return at + (length >= 252 ? 2 : 1);
}
