/**
 * The codecs of audio files, one package each. The umbrella package audio-decode would bring GPL decoders (AAC, AC-3,
 * DTS) into every installation; these six are MIT, over LGPL's codec-parser. What a file holds says audio-format.ts.
 */
import type { AudioFormat } from "./audio-format.ts";

/** Planar PCM, float, at the file's rate. */
export interface DecodedAudio {
  readonly channelData: readonly Float32Array[];
  readonly sampleRate: number;
}

/** A decoder of one file, fed piece by piece. Throws whatever its package throws. */
export interface FileDecoder {
  decode(chunk: Uint8Array): DecodedAudio;
  /** What it still holds at the end. */
  flush(): DecodedAudio;
  free(): void;
}

const NOTHING: DecodedAudio = { channelData: [], sampleRate: 0 };

const CODECS: Readonly<Record<AudioFormat, () => Promise<FileDecoder>>> = {
  wav: async () => (await import("@audio/decode-wav")).decoder(),
  flac: async () => (await import("@audio/decode-flac")).decoder(),
  opus: async () => (await import("@audio/decode-opus")).decoder(),
  oga: async () => (await import("@audio/decode-vorbis")).decoder(),
  aiff: async () => (await import("@audio/decode-aiff")).decoder(),
  // Frames stand for themselves: there is nothing to flush.
  mp3: async () => {
    const decoder = await (await import("@audio/decode-mp3")).decoder();
    let isMono = true;
    return {
      // mpg123 gives mono as two equal channels. Once they have differed the file is stereo, quiet passages too.
      decode: (chunk) => {
        const { channelData, sampleRate } = decoder.decode(chunk);
        const [left, right] = channelData;
        isMono &&= right === undefined || left === undefined || isEqual(left, right);
        return { channelData: isMono ? channelData.slice(0, 1) : channelData, sampleRate };
      },
      flush: () => NOTHING,
      free: () => decoder.free(),
    };
  },
};

export const openCodec = (format: AudioFormat): Promise<FileDecoder> => CODECS[format]();

const isEqual = (a: Float32Array, b: Float32Array): boolean => a.every((sample, i) => sample === b[i]);
