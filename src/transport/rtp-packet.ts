/** Reads and writes single RTP packets (RFC 3550 §5.1). Order, loss and timing are jitter-buffer.ts. */
import { TonetapError } from "../core/errors.ts";
import type { AudioLevel, RtpPacket } from "../core/rtp.ts";
import type { MonotonicMs } from "../core/units.ts";
import { readU8, readU16, readU32, writeU16, writeU32 } from "./bytes.ts";

const FIXED_HEADER_BYTES = 12;
/** RFC 8285 §4.2: `profile` of one-byte extension headers. */
const ONE_BYTE_PROFILE = 0xbede;
/** RFC 8285 §4.3: `profile` of two-byte ones; the low four bits are free. */
const TWO_BYTE_PROFILE = 0x1000;

/** Why a datagram is no RTP packet. An expected outcome: it is counted, not thrown. */
export type RtpMalformed =
  | "too-short"
  | "wrong-version"
  | "truncated-csrc"
  | "truncated-extension"
  | "bad-padding";

export const RTP_MALFORMED = [
  "too-short",
  "wrong-version",
  "truncated-csrc",
  "truncated-extension",
  "bad-padding",
] as const satisfies readonly RtpMalformed[];

export interface RtpParseOptions {
  /** Local identifier of the RFC 6464 audio level, as negotiated by `a=extmap`. 1–255; none by default. */
  readonly audioLevelId?: number;
}

const NO_OPTIONS: RtpParseOptions = {};

/**
 * Parses one datagram. Never throws, copies nothing: `payload` is a view into `buffer`, padding removed.
 * @returns the packet, or the reason why it is none.
 */
export function parseRtp(
  buffer: Uint8Array,
  arrivalMs: MonotonicMs,
  options: RtpParseOptions = NO_OPTIONS,
): RtpPacket | RtpMalformed {
  if (buffer.length < FIXED_HEADER_BYTES) return "too-short";
  const first = readU8(buffer, 0);
  if (first >> 6 !== 2) return "wrong-version";
  let start = FIXED_HEADER_BYTES + (first & 0x0f) * 4;
  let end = buffer.length;
  if (start > end) return "truncated-csrc";

  let audioLevel: AudioLevel | undefined;
  if ((first & 0x10) !== 0) {
    if (start + 4 > end) return "truncated-extension";
    const bodyStart = start + 4;
    const bodyEnd = bodyStart + readU16(buffer, start + 2) * 4;
    if (bodyEnd > end) return "truncated-extension";
    if (options.audioLevelId !== undefined) {
      const profile = readU16(buffer, start);
      audioLevel = findAudioLevel(buffer, profile, bodyStart, bodyEnd, options.audioLevelId);
    }
    start = bodyEnd;
  }

  if ((first & 0x20) !== 0) {
    // RFC 3550 §5.1: the last octet counts the padding, itself included.
    const padding = end > start ? readU8(buffer, end - 1) : 0;
    if (padding === 0 || start + padding > end) return "bad-padding";
    end -= padding;
  }

  const second = readU8(buffer, 1);
  const packet = {
    sequence: readU16(buffer, 2),
    timestamp: readU32(buffer, 4),
    ssrc: readU32(buffer, 8),
    payloadType: second & 0x7f,
    marker: second >= 0x80,
    payload: buffer.subarray(start, end),
    arrivalMs,
  };
  return audioLevel === undefined ? packet : { ...packet, audioLevel };
}

/** Walks RFC 8285 elements. A damaged element ends the walk: the packet stands without what follows. */
function findAudioLevel(
  buffer: Uint8Array,
  profile: number,
  start: number,
  end: number,
  wantedId: number,
): AudioLevel | undefined {
  const oneByte = profile === ONE_BYTE_PROFILE;
  if (!oneByte && (profile & 0xfff0) !== TWO_BYTE_PROFILE) return undefined;
  let at = start;
  while (at < end) {
    const head = readU8(buffer, at);
    if (head === 0) {
      at++; // Padding between elements.
      continue;
    }
    const id = oneByte ? head >> 4 : head;
    // RFC 8285 §4.2: identifier 15, and 0 with a length, end the processing.
    if (oneByte && (id === 15 || id === 0)) return undefined;
    const dataStart = at + (oneByte ? 1 : 2);
    const length = oneByte ? (head & 0x0f) + 1 : readU8(buffer, at + 1);
    if (dataStart + length > end) return undefined;
    if (id === wantedId && length >= 1) {
      const value = readU8(buffer, dataStart);
      return { voice: value >= 0x80, level: value & 0x7f };
    }
    at = dataStart + length;
  }
  return undefined;
}

/** One RFC 8285 element. */
export interface RtpHeaderExtension {
  /** 1–14 in the one-byte form, 1–255 in the two-byte form. */
  readonly id: number;
  /** 1–16 bytes in the one-byte form, 0–255 in the two-byte form. */
  readonly data: Uint8Array;
}

/** What a sender says in a packet. */
export interface RtpFields {
  /** Taken modulo 2¹⁶. */
  readonly sequence: number;
  /** Taken modulo 2³². */
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payloadType: number;
  readonly marker?: boolean;
  readonly payload: Uint8Array;
  /** At most 15. */
  readonly csrcs?: readonly number[];
  /** Sent in the one-byte form if all fit it, else in the two-byte form. */
  readonly extensions?: readonly RtpHeaderExtension[];
  /** Padding octets at the end, 0–255; default 0. */
  readonly paddingBytes?: number;
}

/**
 * Writes a packet as it goes on the wire.
 * @throws TonetapError invalid-argument for what the format cannot hold.
 */
export function serializeRtp(fields: RtpFields): Uint8Array {
  const csrcs = fields.csrcs ?? [];
  const padding = fields.paddingBytes ?? 0;
  assertWhole(fields.payloadType, 0, 127, "payloadType");
  assertWhole(csrcs.length, 0, 15, "csrcs");
  assertWhole(padding, 0, 255, "paddingBytes");
  const extension = serializeExtensions(fields.extensions ?? []);

  const payloadStart = FIXED_HEADER_BYTES + csrcs.length * 4 + extension.length;
  const out = new Uint8Array(payloadStart + fields.payload.length + padding);
  out[0] = 0x80 | (padding > 0 ? 0x20 : 0) | (extension.length > 0 ? 0x10 : 0) | csrcs.length;
  out[1] = (fields.marker === true ? 0x80 : 0) | fields.payloadType;
  writeU16(out, 2, fields.sequence);
  writeU32(out, 4, fields.timestamp);
  writeU32(out, 8, fields.ssrc);
  let at = FIXED_HEADER_BYTES;
  for (const csrc of csrcs) {
    writeU32(out, at, csrc);
    at += 4;
  }
  out.set(extension, at);
  out.set(fields.payload, payloadStart);
  if (padding > 0) out[out.length - 1] = padding;
  return out;
}

/** RFC 6464: the level as a header extension, for {@link RtpFields.extensions}. */
export const audioLevelExtension = (id: number, level: AudioLevel): RtpHeaderExtension => ({
  id,
  data: Uint8Array.of((level.voice ? 0x80 : 0) | (level.level & 0x7f)),
});

function serializeExtensions(extensions: readonly RtpHeaderExtension[]): Uint8Array {
  if (extensions.length === 0) return new Uint8Array(0);
  const oneByte = extensions.every(({ id, data }) => id <= 14 && data.length >= 1 && data.length <= 16);
  let body = 0;
  for (const { id, data } of extensions) {
    assertWhole(id, 1, 255, "extension id");
    assertWhole(data.length, 0, 255, "extension length");
    body += (oneByte ? 1 : 2) + data.length;
  }
  const words = Math.ceil(body / 4);
  const out = new Uint8Array(4 + words * 4);
  writeU16(out, 0, oneByte ? ONE_BYTE_PROFILE : TWO_BYTE_PROFILE);
  writeU16(out, 2, words);
  let at = 4;
  for (const { id, data } of extensions) {
    if (oneByte) out[at++] = (id << 4) | (data.length - 1);
    else {
      out[at++] = id;
      out[at++] = data.length;
    }
    out.set(data, at);
    at += data.length;
  }
  return out;
}

function assertWhole(value: number, min: number, max: number, name: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new TonetapError("invalid-argument", `RTP ${name} must be ${min}–${max}, got ${value}`);
  }
}
