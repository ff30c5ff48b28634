/** Takes Ogg pages apart into packets (RFC 3533). What the packets mean is ogg-opus.ts. */
import { TonetapError } from "../../core/errors.ts";
import { concatBytes } from "../bytes.ts";

/** The packets of one logical stream. */
export interface OggPackets {
  readonly packets: readonly Uint8Array[];
  /** Granule position of the last page that ends a packet; −1 if there is none. */
  readonly granule: number;
}

const HEADER_BYTES = 27;
const FLAG_CONTINUED = 0x01;
const FLAG_BEGIN = 0x02;
const FLAG_END = 0x04;
/** RFC 7845 §6: larger audio packets are to be refused. Tags may hold a cover picture, so they get more. */
const MAX_PACKET_BYTES = 61_440;
const MAX_TAGS_BYTES = 16 << 20;

/**
 * Packets of the first logical stream, in order. Views into `bytes` unless a packet spans pages.
 * @throws TonetapError media: no page where one must be, a wrong checksum, a page missing, an oversized packet.
 */
export function readOggPackets(bytes: Uint8Array, name: string): OggPackets {
  const fail = (reason: string): never => {
    throw new TonetapError("media", `${name}: ${reason}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packets: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  let partBytes = 0;
  let serial: number | undefined;
  let sequence = 0;
  let granule = -1;
  let ended = false;

  for (let at = 0; at < bytes.length && !ended; ) {
    if (at + HEADER_BYTES > bytes.length) fail(`truncated page header at byte ${at}`);
    if (view.getUint32(at) !== 0x4f676753 || view.getUint8(at + 4) !== 0) fail(`no Ogg page at byte ${at}`);
    const segments = view.getUint8(at + 26);
    let body = at + HEADER_BYTES + segments;
    if (body > bytes.length) fail(`truncated page header at byte ${at}`);
    const lacing = bytes.subarray(at + HEADER_BYTES, body);
    const end = body + lacing.reduce((sum, length) => sum + length, 0);
    if (end > bytes.length) fail(`truncated page at byte ${at}`);
    const pageBytes = bytes.subarray(at, end);
    if (pageCrc(pageBytes) !== view.getUint32(at + 22, true))
      fail(`wrong checksum in the page at byte ${at}`);

    const flags = view.getUint8(at + 5);
    const pageSerial = view.getUint32(at + 14, true);
    if (serial === undefined) {
      if ((flags & FLAG_BEGIN) === 0) fail("the stream's first page is missing");
      serial = pageSerial;
      sequence = view.getUint32(at + 18, true);
    }
    const granulePosition = Number(view.getBigInt64(at + 6, true));
    const pageSequence = view.getUint32(at + 18, true);
    at = end;
    if (pageSerial !== serial) continue;
    if (pageSequence !== sequence) fail(`page ${sequence} is missing`);
    sequence = (sequence + 1) >>> 0;
    if (((flags & FLAG_CONTINUED) !== 0) !== partBytes > 0)
      fail(`page ${pageSequence} continues the wrong packet`);

    let start = body;
    for (const length of lacing) {
      body += length;
      if (length === 255) continue;
      parts.push(bytes.subarray(start, body));
      const [only] = parts;
      packets.push(parts.length === 1 && only !== undefined ? only : concatBytes(parts));
      parts = [];
      partBytes = 0;
      start = body;
      const limit = packets.length === 2 ? MAX_TAGS_BYTES : MAX_PACKET_BYTES;
      if ((packets.at(-1)?.length ?? 0) > limit)
        fail(`packet ${packets.length - 1} is larger than ${limit} bytes`);
      // RFC 3533 §6: −1 says that no packet ends on this page.
      if (granulePosition >= 0) granule = granulePosition;
    }
    if (start < body) {
      parts.push(bytes.subarray(start, body));
      partBytes += body - start;
      if (partBytes > MAX_TAGS_BYTES) fail(`packet ${packets.length} is larger than ${MAX_TAGS_BYTES} bytes`);
    }
    ended = (flags & FLAG_END) !== 0;
  }
  if (serial === undefined) fail("is empty");
  if (partBytes > 0) fail("ends inside a packet");
  return { packets, granule };
}

/** RFC 3533 §6: polynomial 0x04c11db7, no reflection, starting at 0. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc >>> 0;
});

/** Checksum of a page, its own four checksum bytes (22–25) taken as zero. */
export function pageCrc(page: Uint8Array): number {
  let crc = 0;
  for (let i = 0; i < page.length; i++) {
    const byte = i >= 22 && i < 26 ? 0 : (page[i] ?? 0);
    crc = (crc << 8) ^ (CRC_TABLE[((crc >>> 24) ^ byte) & 0xff] ?? 0);
  }
  return crc >>> 0;
}
