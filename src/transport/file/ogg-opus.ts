/** Reads and writes Ogg Opus files, packet by packet. Decoding is stream/opus-decoder.ts, sending ogg-opus-player.ts. */
import { TonetapError } from "../../core/errors.ts";
import { OPUS } from "../../core/rtp.ts";
import { concatBytes } from "../bytes.ts";
import { payloadTicks } from "../packet-duration.ts";
import { pageCrc, readOggPackets } from "./ogg-pages.ts";

/** One Opus packet as it stands in the file. One or two bytes: the encoder had nothing to send (DTX). */
export interface OpusPacket {
  readonly payload: Uint8Array;
  /** 48 kHz ticks. */
  readonly durationTicks: number;
}

export interface OggOpus {
  /** 1 or 2. */
  readonly channels: number;
  /** 48 kHz ticks of decoder output to throw away at the start. RFC 7845 §4.2. */
  readonly preSkipTicks: number;
  /** Hz. The rate of the audio before encoding; says nothing of the coded rate. RFC 7845 §5.1. */
  readonly inputRateHz: number;
  /** `NAME=value`. */
  readonly comments: readonly string[];
  readonly packets: readonly OpusPacket[];
  /** 48 kHz ticks of audio: without pre-skip and what the last page trims off. RFC 7845 §4.4. */
  readonly durationTicks: number;
}

const VENDOR = "tonetap";
const HEAD_MAGIC = "OpusHead";
const TAGS_MAGIC = "OpusTags";
/** RFC 7845 §3: no more than a second's packets in a page. */
const PAGE_TICKS = 48_000;
const MAX_SEGMENTS = 255;
const FLAG_BEGIN = 0x02;
const FLAG_END = 0x04;

/**
 * Parses one Ogg Opus stream; a second one multiplexed or chained behind it is left out.
 * @param name for error messages.
 * @throws TonetapError media: not Ogg, a wrong checksum, a missing page, a header or packet that RFC 7845 forbids.
 */
export function readOggOpus(bytes: Uint8Array, name = "Ogg Opus data"): OggOpus {
  const fail = (reason: string): never => {
    throw new TonetapError("media", `${name}: ${reason}`);
  };
  const { packets: raw, granule } = readOggPackets(bytes, name);
  const [head, tags, ...audio] = raw;
  if (head === undefined || !startsWith(head, HEAD_MAGIC) || head.length < 19) {
    return fail("not an Ogg Opus stream");
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  // RFC 7845 §5.1: the major version is the high nibble; any 0.x can be read.
  if (view.getUint8(8) >> 4 !== 0) fail(`OpusHead version ${view.getUint8(8)} is not known`);
  const channels = view.getUint8(9);
  if (view.getUint8(18) !== 0 || channels < 1 || channels > 2) {
    fail(`${channels} channels in mapping family ${view.getUint8(18)}; only mono and stereo are read`);
  }
  if (tags === undefined || !startsWith(tags, TAGS_MAGIC)) return fail("OpusTags is missing");
  const preSkipTicks = view.getUint16(10, true);

  let ticks = 0;
  const packets = audio.map((payload, i): OpusPacket => {
    const durationTicks = payloadTicks(OPUS, payload) ?? fail(`packet ${i} is not Opus`);
    ticks += durationTicks;
    return { payload, durationTicks };
  });
  // RFC 7845 §4.4: the last granule position may only shorten the stream.
  const end = granule >= 0 && granule < ticks ? granule : ticks;
  return {
    channels,
    preSkipTicks,
    inputRateHz: view.getUint32(12, true),
    comments: parseTags(tags),
    packets,
    durationTicks: Math.max(0, end - preSkipTicks),
  };
}

export interface OggOpusContent extends OggOpus {
  /** 32 bits; tells streams in one file apart. */
  readonly serial: number;
}

/** Writes one Ogg Opus file. The same content always gives the same bytes. */
export function writeOggOpus(content: OggOpusContent): Uint8Array {
  const pages: Uint8Array[] = [
    page(content.serial, 0, FLAG_BEGIN, 0, [opusHead(content)]),
    page(content.serial, 1, 0, 0, [opusTags(content.comments)]),
  ];
  const endGranule = content.preSkipTicks + content.durationTicks;
  let granule = 0;
  let pending: Uint8Array[] = [];
  let pendingTicks = 0;
  let segments = 0;
  const flush = (last: boolean): void => {
    granule += pendingTicks;
    const position = last ? Math.min(granule, endGranule) : granule;
    pages.push(page(content.serial, pages.length, last ? FLAG_END : 0, position, pending));
    pending = [];
    pendingTicks = 0;
    segments = 0;
  };
  for (const { payload, durationTicks } of content.packets) {
    const lacing = Math.floor(payload.length / 255) + 1;
    if (lacing > MAX_SEGMENTS) {
      throw new TonetapError(
        "invalid-argument",
        `an Opus packet must fit a page, got ${payload.length} bytes`,
      );
    }
    if (segments + lacing > MAX_SEGMENTS || pendingTicks + durationTicks > PAGE_TICKS) flush(false);
    pending.push(payload);
    pendingTicks += durationTicks;
    segments += lacing;
  }
  flush(true);
  return concatBytes(pages);
}

/** RFC 3533 §6: the page layout. Packets never span pages here. */
function page(
  serial: number,
  sequence: number,
  flags: number,
  granule: number,
  packets: readonly Uint8Array[],
): Uint8Array {
  const lacing: number[] = [];
  for (const { length } of packets) {
    for (let left = length; left >= 255; left -= 255) lacing.push(255);
    lacing.push(length % 255);
  }
  const header = new Uint8Array(27 + lacing.length);
  const view = new DataView(header.buffer);
  header.set(ascii("OggS"));
  view.setUint8(5, flags);
  view.setBigUint64(6, BigInt(granule), true);
  view.setUint32(14, serial, true);
  view.setUint32(18, sequence, true);
  view.setUint8(26, lacing.length);
  header.set(lacing, 27);
  const bytes = concatBytes([header, ...packets]);
  new DataView(bytes.buffer).setUint32(22, pageCrc(bytes), true);
  return bytes;
}

/** RFC 7845 §5.1. */
function opusHead(content: OggOpusContent): Uint8Array {
  const head = new Uint8Array(19);
  const view = new DataView(head.buffer);
  head.set(ascii(HEAD_MAGIC));
  view.setUint8(8, 1);
  view.setUint8(9, content.channels);
  view.setUint16(10, content.preSkipTicks, true);
  view.setUint32(12, content.inputRateHz, true);
  return head;
}

/** RFC 7845 §5.2. */
function opusTags(comments: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const sized = (text: string): Uint8Array => {
    const bytes = encoder.encode(text);
    return concatBytes([uint32(bytes.length), bytes]);
  };
  return concatBytes([ascii(TAGS_MAGIC), sized(VENDOR), uint32(comments.length), ...comments.map(sized)]);
}

/** Comments are a courtesy: a damaged list ends where it stops making sense. */
function parseTags(tags: Uint8Array): string[] {
  const view = new DataView(tags.buffer, tags.byteOffset, tags.byteLength);
  const decoder = new TextDecoder();
  const comments: string[] = [];
  let at = 8;
  const take = (): Uint8Array | undefined => {
    if (at + 4 > tags.length) return undefined;
    const length = view.getUint32(at, true);
    if (at + 4 + length > tags.length) return undefined;
    const bytes = tags.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return bytes;
  };
  if (take() === undefined || at + 4 > tags.length) return comments;
  const count = view.getUint32(at, true);
  at += 4;
  for (let i = 0; i < count; i++) {
    const comment = take();
    if (comment === undefined) break;
    comments.push(decoder.decode(comment));
  }
  return comments;
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

const startsWith = (bytes: Uint8Array, magic: string): boolean =>
  bytes.length >= magic.length && ascii(magic).every((byte, i) => bytes[i] === byte);
