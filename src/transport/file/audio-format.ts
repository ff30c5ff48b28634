/** Tells what kind of audio a file holds, and how much it claims to hold, from its first bytes. Decoding is audio-file.ts. */

/** `oga` is Vorbis in Ogg. */
export type AudioFormat = "wav" | "flac" | "mp3" | "opus" | "oga" | "aiff";

/** For messages. */
export const AUDIO_FORMATS = "WAV, FLAC, MP3, Ogg Opus, Ogg Vorbis or AIFF";

/** @param head the file's first bytes, as many as there are. Sixty are enough for every format. */
export function sniffFormat(head: Uint8Array): AudioFormat | undefined {
  const has = (at: number, text: string): boolean =>
    head.length >= at + text.length && [...text].every((char, i) => head[at + i] === char.charCodeAt(0));
  if ((has(0, "RIFF") || has(0, "RF64")) && has(8, "WAVE")) return "wav";
  if (has(0, "fLaC")) return "flac";
  if (has(0, "FORM") && (has(8, "AIFF") || has(8, "AIFC"))) return "aiff";
  if (has(0, "OggS")) {
    // The first page holds one packet, right behind its 28-byte header.
    if (has(28, "OpusHead")) return "opus";
    return has(28, "\x01vorbis") ? "oga" : undefined;
  }
  if (has(0, "ID3")) return "mp3";
  // ISO/IEC 11172-3 §2.4.2.3: eleven bits of sync; layer bits 00 would be AAC.
  const [first = 0, second = 0] = head;
  return first === 0xff && (second & 0xe0) === 0xe0 && (second & 0x06) !== 0 ? "mp3" : undefined;
}

/**
 * Sample frames that the header promises, if it does; a shorter file was cut off or is damaged.
 * @param head as many of the file's first bytes as are at hand.
 */
export function declaredFrames(format: AudioFormat, head: Uint8Array): number | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  switch (format) {
    case "flac": {
      // RFC 9639 §8.2: 36 bits of total samples, 0 for unknown; STREAMINFO always comes first.
      if (head.length < 26) return undefined;
      const total = (view.getUint8(21) & 0x0f) * 2 ** 32 + view.getUint32(22);
      return total === 0 ? undefined : total;
    }
    case "wav": {
      const fmt = chunkAt(view, 0x666d7420, true);
      const data = chunkAt(view, 0x64617461, true);
      if (fmt === undefined || data === undefined) return undefined;
      const bytes = view.getUint32(data - 4, true);
      const tag = fmt + 16 <= head.length ? view.getUint16(fmt, true) : 0;
      const blockBytes = tag === 0 ? 0 : view.getUint16(fmt + 12, true);
      // Only where a block is one frame: PCM, float, G.711, extensible. A recorder that cannot seek back
      // leaves 0 or a huge length.
      const framed = tag === 1 || tag === 3 || tag === 6 || tag === 7 || tag === 0xfffe;
      if (!framed || blockBytes === 0 || bytes === 0 || bytes >= 0x7fff_0000) return undefined;
      return Math.floor(bytes / blockBytes);
    }
    case "aiff": {
      const common = chunkAt(view, 0x434f4d4d, false);
      return common === undefined || common + 6 > head.length ? undefined : view.getUint32(common + 2);
    }
    case "mp3":
    case "opus":
    case "oga":
      return undefined;
    default:
      return format satisfies never;
  }
}

/** Where a chunk's content starts in a RIFF or IFF file. */
function chunkAt(view: DataView, id: number, littleEndian: boolean): number | undefined {
  for (let at = 12; at + 8 <= view.byteLength; ) {
    if (view.getUint32(at) === id) return at + 8;
    const size = view.getUint32(at + 4, littleEndian);
    at += 8 + size + (size & 1);
  }
  return undefined;
}
