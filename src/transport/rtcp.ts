/** Reads what we use of RTCP (sender reports, BYE, CNAME, NACK) and writes what we send. When to send is the caller's. */
import type { SenderReport } from "../core/rtp.ts";
import { type MonotonicMs, type WallMs, wallMs } from "../core/units.ts";
import { readU8, readU16, readU32, writeU16, writeU32 } from "./bytes.ts";

const SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const SOURCE_DESCRIPTION = 202;
const BYE = 203;
/** RFC 4585 §6.1: transport-layer feedback; FMT 1 is the generic NACK. */
const TRANSPORT_FEEDBACK = 205;
const GENERIC_NACK = 1;
const CNAME = 1;

/** RFC 3550 §6.1: a compound packet fits the path's MTU. 64 kB of NACK would name 278,000 packets. */
const MAX_COMPOUND_BYTES = 2_048;

/** RFC 5905: NTP era 0 begins in 1900; seconds from there to 1970. */
const NTP_TO_UNIX_S = 2_208_988_800;
const NTP_FRACTION = 2 ** 32;

/** What one datagram of RTCP said. Kinds of packets that we have no use for are skipped. */
export interface RtcpReport {
  readonly senderReports: readonly SenderReport[];
  /** SSRCs that leave. */
  readonly byes: readonly number[];
  readonly cnames: readonly { readonly ssrc: number; readonly cname: string }[];
  /** Packets that a receiver asks for again; `ssrc` is the media's. */
  readonly nacks: readonly { readonly ssrc: number; readonly sequences: readonly number[] }[];
  /** Part of it was cut off or no RTCP; what was readable before stands. */
  readonly malformed: boolean;
}

/**
 * Tells RTCP from RTP on one port. RFC 5761 §4: RTCP packet types 192–223 fall on RTP payload types 64–95 with the
 * marker set, which must not be used when both share a port.
 */
export function isRtcp(buffer: Uint8Array): boolean {
  const type = readU8(buffer, 1);
  return buffer.length >= 4 && readU8(buffer, 0) >> 6 === 2 && type >= 192 && type <= 223;
}

/** Parses a compound packet. Never throws; reads as far as it makes sense, and of more than 2,048 bytes nothing. */
export function parseRtcp(buffer: Uint8Array, arrivalMs: MonotonicMs): RtcpReport {
  const senderReports: SenderReport[] = [];
  const byes: number[] = [];
  const cnames: { ssrc: number; cname: string }[] = [];
  const nacks: { ssrc: number; sequences: number[] }[] = [];
  let malformed = buffer.length === 0 || buffer.length > MAX_COMPOUND_BYTES;
  let at = malformed ? buffer.length : 0;
  while (at < buffer.length) {
    const end = at + 4 * (readU16(buffer, at + 2) + 1);
    if (at + 4 > buffer.length || readU8(buffer, at) >> 6 !== 2 || end > buffer.length) {
      malformed = true;
      break;
    }
    const count = readU8(buffer, at) & 0x1f;
    const body = at + 4;
    switch (readU8(buffer, at + 1)) {
      case SENDER_REPORT:
        if (end - body < 24) malformed = true;
        // RFC 3550 §6.4.1: an all-zero NTP time says that the sender has no clock.
        else if (readU32(buffer, body + 4) !== 0 || readU32(buffer, body + 8) !== 0) {
          senderReports.push(readSenderReport(buffer, body, arrivalMs));
        }
        break;
      case BYE:
        if (end - body < 4 * count) malformed = true;
        else for (let i = 0; i < count; i++) byes.push(readU32(buffer, body + 4 * i));
        break;
      case SOURCE_DESCRIPTION:
        malformed = !readCnames(buffer, body, end, count, cnames) || malformed;
        break;
      case TRANSPORT_FEEDBACK:
        if (count !== GENERIC_NACK) break;
        if (end - body < 12) malformed = true;
        else nacks.push(readNack(buffer, body, end));
        break;
    }
    at = end;
  }
  return { senderReports, byes, cnames, nacks, malformed };
}

function readSenderReport(buffer: Uint8Array, body: number, arrivalMs: MonotonicMs): SenderReport {
  return {
    ssrc: readU32(buffer, body),
    ntpWallMs: ntpToWallMs(readU32(buffer, body + 4), readU32(buffer, body + 8)),
    rtpTimestamp: readU32(buffer, body + 12),
    arrivalMs,
  };
}

/** RFC 3550 §6.5: chunks of (SSRC, items, zero padding to a word). False if an item runs over the end. */
function readCnames(
  buffer: Uint8Array,
  body: number,
  end: number,
  chunks: number,
  into: { ssrc: number; cname: string }[],
): boolean {
  let at = body;
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (at + 4 > end) return false;
    const ssrc = readU32(buffer, at);
    at += 4;
    while (at < end && readU8(buffer, at) !== 0) {
      const start = at + 2;
      const stop = start + readU8(buffer, at + 1);
      if (stop > end) return false;
      if (readU8(buffer, at) === CNAME) {
        into.push({ ssrc, cname: new TextDecoder().decode(buffer.subarray(start, stop)) });
      }
      at = stop;
    }
    // At least one zero octet ends the items, then up to the next word.
    at = body + 4 * (Math.floor((at - body) / 4) + 1);
  }
  return true;
}

/** RFC 4585 §6.2.1: a first sequence number and a mask of the 16 that follow it. */
function readNack(buffer: Uint8Array, body: number, end: number): { ssrc: number; sequences: number[] } {
  const sequences: number[] = [];
  for (let at = body + 8; at + 4 <= end; at += 4) {
    const first = readU16(buffer, at);
    sequences.push(first);
    const mask = readU16(buffer, at + 2);
    for (let bit = 0; bit < 16; bit++) {
      if ((mask & (1 << bit)) !== 0) sequences.push((first + bit + 1) & 0xffff);
    }
  }
  return { ssrc: readU32(buffer, body + 4), sequences };
}

/** NTP timestamp → ms since 1970. RFC 4330 §3: with the top bit clear it is era 1, which begins in 2036. */
export function ntpToWallMs(seconds: number, fraction: number): WallMs {
  const era = seconds < 2 ** 31 ? 2 ** 32 : 0;
  return wallMs((seconds + era - NTP_TO_UNIX_S) * 1000 + (fraction * 1000) / NTP_FRACTION);
}

/** Ms since 1970 → the two 32-bit words of an NTP timestamp. */
export function wallMsToNtp(wall: WallMs): { readonly seconds: number; readonly fraction: number } {
  const wholeSeconds = Math.floor(wall / 1000);
  const fraction = Math.floor(((wall - wholeSeconds * 1000) / 1000) * NTP_FRACTION);
  return { seconds: (wholeSeconds + NTP_TO_UNIX_S) % 2 ** 32, fraction };
}

export interface SenderReportFields {
  readonly ssrc: number;
  /** The instant that `rtpTimestamp` stands for. */
  readonly ntpWallMs: WallMs;
  /** Taken modulo 2³². */
  readonly rtpTimestamp: number;
  /** Packets and payload octets sent so far; modulo 2³². */
  readonly packets: number;
  readonly octets: number;
}

/** A sender report without reception blocks. RFC 3550 §6.4.1. */
export function serializeSenderReport(fields: SenderReportFields): Uint8Array {
  const out = rtcpPacket(SENDER_REPORT, 0, 24);
  const { seconds, fraction } = wallMsToNtp(fields.ntpWallMs);
  writeU32(out, 4, fields.ssrc);
  writeU32(out, 8, seconds);
  writeU32(out, 12, fraction);
  writeU32(out, 16, fields.rtpTimestamp);
  writeU32(out, 20, fields.packets);
  writeU32(out, 24, fields.octets);
  return out;
}

/** An empty receiver report: what a compound packet of a receiver must begin with. RFC 3550 §6.1, §6.4.2. */
export function serializeReceiverReport(ssrc: number): Uint8Array {
  const out = rtcpPacket(RECEIVER_REPORT, 0, 4);
  writeU32(out, 4, ssrc);
  return out;
}

/** The canonical name of a sender, cut at 255 bytes. RFC 3550 §6.5.1. */
export function serializeCname(ssrc: number, cname: string): Uint8Array {
  const text = new TextEncoder().encode(cname).subarray(0, 255);
  // SSRC, item head, text, and at least one zero octet.
  const out = rtcpPacket(SOURCE_DESCRIPTION, 1, 4 * Math.ceil((4 + 2 + text.length + 1) / 4));
  writeU32(out, 4, ssrc);
  out[8] = CNAME;
  out[9] = text.length;
  out.set(text, 10);
  return out;
}

/** RFC 3550 §6.6. */
export function serializeBye(ssrc: number): Uint8Array {
  const out = rtcpPacket(BYE, 1, 4);
  writeU32(out, 4, ssrc);
  return out;
}

/**
 * Asks for packets again. RFC 4585 §6.2.1.
 * @param sequences 16-bit numbers in ascending order (modulo 2¹⁶); neighbours within 16 share an entry.
 */
export function serializeNack(
  senderSsrc: number,
  mediaSsrc: number,
  sequences: readonly number[],
): Uint8Array {
  const entries: { first: number; mask: number }[] = [];
  for (const sequence of sequences) {
    const last = entries.at(-1);
    const distance = last === undefined ? 0 : (sequence - last.first) & 0xffff;
    if (last !== undefined && distance <= 16) last.mask |= distance === 0 ? 0 : 1 << (distance - 1);
    else entries.push({ first: sequence, mask: 0 });
  }
  const out = rtcpPacket(TRANSPORT_FEEDBACK, GENERIC_NACK, 8 + 4 * entries.length);
  writeU32(out, 4, senderSsrc);
  writeU32(out, 8, mediaSsrc);
  entries.forEach(({ first, mask }, i) => {
    writeU16(out, 12 + 4 * i, first);
    writeU16(out, 14 + 4 * i, mask);
  });
  return out;
}

/** `bodyBytes` is a multiple of 4. */
function rtcpPacket(type: number, count: number, bodyBytes: number): Uint8Array {
  const out = new Uint8Array(4 + bodyBytes);
  out[0] = 0x80 | count;
  out[1] = type;
  writeU16(out, 2, bodyBytes / 4);
  return out;
}
