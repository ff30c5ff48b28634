/** Reads a sound file as 16 kHz mono PCM. Codecs of live calls are stream/. */
import { readFile } from "node:fs/promises";
import decodeAudio from "audio-decode";
import { TonetapError } from "../src/core/errors.ts";
import { PIPELINE_RATE_HZ } from "../src/core/units.ts";
import { resample } from "./resample.ts";

/** Longest recording that is read, seconds. */
const LONGEST_S = 3600;

/**
 * Decodes wav, flac, ogg/opus, mp3 and what else audio-decode knows; channels are averaged.
 *
 * @throws TonetapError not-found when there is no such file; media when it does not decode, is empty or too long.
 */
export async function readAudioFile(path: string): Promise<Float32Array> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw TonetapError.from(error, "not-found", `cannot read ${path}`);
  });
  const decoded = await decodeAudio(bytes).catch((error: unknown) => {
    throw TonetapError.from(error, "media", `cannot decode ${path}`);
  });
  const [first, ...others] = decoded.channelData;
  if (first === undefined || first.length === 0) {
    throw new TonetapError("media", `cannot decode ${path}: it holds no audio`);
  }
  if (first.length > LONGEST_S * decoded.sampleRate) {
    throw new TonetapError("media", `cannot use ${path}: it is longer than ${LONGEST_S} s`);
  }
  const mono = Float32Array.from(first);
  for (const channel of others) {
    for (let i = 0; i < mono.length; i++) mono[i] = (mono[i] ?? 0) + (channel[i] ?? 0);
  }
  for (let i = 0; i < mono.length; i++) {
    const value = (mono[i] ?? 0) / decoded.channelData.length;
    if (!Number.isFinite(value)) throw new TonetapError("media", `cannot use ${path}: sample ${i} is ${value}`);
    mono[i] = value;
  }
  return resample(mono, decoded.sampleRate, PIPELINE_RATE_HZ);
}

/**
 * The recording without the digital silence at its end. For emodb_first2s, which pads short clips with zeros; the
 * threshold is 2⁻¹², because the Opus in which it is stored turns zeros into a little noise.
 */
export function trimTrailingZeros(samples: Float32Array): Float32Array {
  let end = samples.length;
  while (end > 0 && Math.abs(samples[end - 1] ?? 0) < 2 ** -12) end--;
  return samples.subarray(0, end);
}
