/** Reads audio files as mono PCM, in constant memory. Which format it is says audio-format.ts; the codecs are audio-codecs.ts. */
import { type FileHandle, open } from "node:fs/promises";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { MAX_RATE_HZ, MIN_RATE_HZ, Resampler, resample } from "../../core/resampler.ts";
import { PIPELINE_RATE_HZ } from "../../core/units.ts";
import { concatBytes } from "../bytes.ts";
import { type DecodedAudio, openCodec } from "./audio-codecs.ts";
import { AUDIO_FORMATS, type AudioFormat, declaredFrames, sniffFormat } from "./audio-format.ts";
import { readOggPackets } from "./ogg-pages.ts";

export interface AudioFileOptions {
  /** `mix`: the mean of all channels. A number: that channel alone, from 0; call recorders often put one party on each. Default `mix`. */
  readonly channel?: "mix" | number;
  /** Longest audio taken, s. 1–86,400. Default 14,400, four hours. */
  readonly maxDurationS?: number;
}

export interface MonoAudio {
  /** Finite; within [−1, 1] unless the file itself goes beyond. */
  readonly samples: Float32Array;
  readonly sampleRateHz: number;
}

const CHUNK_BYTES = 1 << 18;
/** An Ogg file is checked as a whole before decoding: its decoders do not look at the checksums. */
const MAX_OGG_BYTES = 1 << 29;

/**
 * Decodes a file piece by piece at its own rate.
 * @param input a path, or the file's bytes.
 * @throws TonetapError not-found; invalid-argument for a channel the file does not have; media, naming the file, for
 * unknown, damaged, empty, too long and cut-off files. The last only after all that could be decoded was given.
 */
export async function* decodeAudioFile(
  input: string | Uint8Array,
  options: AudioFileOptions = {},
): AsyncGenerator<MonoAudio> {
  const { channel = "mix", maxDurationS = 14_400 } = options;
  assertRange("maxDurationS", maxDurationS, 1, 86_400, "s");
  if (channel !== "mix" && !(Number.isInteger(channel) && channel >= 0)) {
    throw new TonetapError(
      "invalid-argument",
      `channel must be mix or a whole number from 0, got ${channel}`,
    );
  }
  const name = typeof input === "string" ? input : "audio data";
  const chunks = typeof input === "string" ? fileChunks(input) : byteChunks(input);
  try {
    const head = (await chunks.next()).value ?? new Uint8Array(0);
    if (head.length === 0) throw new TonetapError("media", `${name}: is empty`);
    const format = sniffFormat(head);
    if (format === undefined) throw new TonetapError("media", `${name}: is not ${AUDIO_FORMATS}`);
    const encoded = format === "opus" || format === "oga" ? checkedOgg : joinedHead;
    yield* decodeChunks(format, encoded(head, chunks, name), {
      name,
      channel,
      maxDurationS,
      promised: declaredFrames(format, head),
    });
  } finally {
    await chunks.return(undefined);
  }
}

interface DecodeJob {
  readonly name: string;
  readonly channel: "mix" | number;
  readonly maxDurationS: number;
  /** Frames that the header announces. */
  readonly promised: number | undefined;
}

async function* decodeChunks(
  format: AudioFormat,
  encoded: AsyncGenerator<Uint8Array, void>,
  { name, channel, maxDurationS, promised }: DecodeJob,
): AsyncGenerator<MonoAudio> {
  const media = (reason: string, cause?: unknown): TonetapError =>
    new TonetapError("media", `${name}: ${reason}`, { cause });
  let sampleRateHz = 0;
  let channels = 0;
  let frames = 0;
  const decoder = await openCodec(format);
  const decoded = (chunk: Uint8Array | undefined): DecodedAudio => {
    try {
      return chunk === undefined ? decoder.flush() : decoder.decode(chunk);
    } catch (error) {
      throw media(`is damaged ${format}: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  };
  try {
    for (let ended = false; !ended; ) {
      const next = await encoded.next();
      ended = next.done === true;
      const pcm = decoded(next.done === true ? undefined : next.value);
      if ((pcm.channelData[0]?.length ?? 0) === 0) continue;
      if (sampleRateHz !== 0 && pcm.sampleRate !== sampleRateHz)
        throw media("changes its sample rate midway");
      sampleRateHz = pcm.sampleRate;
      if (!(sampleRateHz >= MIN_RATE_HZ && sampleRateHz <= MAX_RATE_HZ))
        throw media(`has a sample rate of ${sampleRateHz} Hz`);
      channels = Math.max(channels, pcm.channelData.length);
      // The MP3 codec gives one channel for as long as both are the same: only the end tells how many there are.
      if (format !== "mp3") assertChannel(name, channel, channels);
      const samples = toMono(pcm.channelData, channel);
      frames += samples.length;
      if (frames > maxDurationS * sampleRateHz) throw media(`is longer than ${maxDurationS} s`);
      yield { samples, sampleRateHz };
    }
  } finally {
    decoder.free();
  }
  if (frames === 0) throw media("holds no audio that can be decoded");
  assertChannel(name, channel, channels);
  if (promised !== undefined && frames < promised) {
    const seconds = (count: number): string => (count / sampleRateHz).toFixed(2);
    throw media(`is damaged or cut off: ${seconds(frames)} s of ${seconds(promised)} s could be decoded`);
  }
}

/** The whole file at its own rate. Options and errors as {@link decodeAudioFile}. */
export async function readAudioFile(
  input: string | Uint8Array,
  options: AudioFileOptions = {},
): Promise<MonoAudio> {
  const parts: Float32Array[] = [];
  let sampleRateHz = 0;
  for await (const part of decodeAudioFile(input, options)) {
    parts.push(part.samples);
    sampleRateHz = part.sampleRateHz;
  }
  const samples = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    samples.set(part, at);
    at += part.length;
  }
  return { samples, sampleRateHz };
}

/** The file piece by piece as 16 kHz mono within [−1, 1]. Options and errors as {@link decodeAudioFile}. */
export async function* decodeTo16k(
  input: string | Uint8Array,
  options: AudioFileOptions = {},
): AsyncGenerator<Float32Array> {
  let resampler: Resampler | undefined;
  for await (const { samples, sampleRateHz } of decodeAudioFile(input, options)) {
    if (sampleRateHz === PIPELINE_RATE_HZ) yield clamp(samples);
    else {
      resampler ??= new Resampler(sampleRateHz, PIPELINE_RATE_HZ);
      yield clamp(resampler.push(samples));
    }
  }
  if (resampler !== undefined) yield clamp(resampler.end());
}

/** Whole PCM at the pipeline's rate. */
export const resampleTo16k = (audio: MonoAudio): Float32Array =>
  resample(audio.samples, audio.sampleRateHz, PIPELINE_RATE_HZ);

function assertChannel(name: string, channel: "mix" | number, channels: number): void {
  if (channel === "mix" || channel < channels) return;
  throw new TonetapError(
    "invalid-argument",
    `${name}: channel must be 0–${channels - 1} or mix, got ${channel}`,
  );
}

/** A new array: the codec's may be a view into its memory. */
function toMono(channels: readonly Float32Array[], channel: "mix" | number): Float32Array {
  const mono = new Float32Array(channels[0]?.length ?? 0);
  const taken = channel === "mix" ? channels : [channels[channel] ?? channels[0] ?? mono];
  for (const samples of taken) {
    for (let i = 0; i < mono.length; i++) {
      const sample = samples[i] ?? 0;
      // A float WAV may hold infinities and NaN; one would poison every later frame.
      if (Number.isFinite(sample)) mono[i] = (mono[i] ?? 0) + sample / taken.length;
    }
  }
  return mono;
}

function clamp(samples: Float32Array): Float32Array {
  for (let i = 0; i < samples.length; i++) samples[i] = Math.max(-1, Math.min(1, samples[i] ?? 0));
  return samples;
}

async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK_BYTES));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

const SYSTEM_REASONS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EISDIR: "is a folder",
  EACCES: "may not be read",
};

function unreadable(path: string, error: unknown): TonetapError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const reason = SYSTEM_REASONS[code] ?? `cannot be read: ${code === "" ? String(error) : code}`;
  return new TonetapError(code === "ENOENT" ? "not-found" : "media", `${path}: ${reason}`, { cause: error });
}

async function* byteChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

async function* joinedHead(
  head: Uint8Array,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  yield head;
  yield* rest;
}

/** Every page's checksum and number, before the first is decoded. */
async function* checkedOgg(
  head: Uint8Array,
  rest: AsyncGenerator<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array, void> {
  const parts = [head];
  let length = head.length;
  for await (const part of rest) {
    parts.push(part);
    length += part.length;
    if (length > MAX_OGG_BYTES)
      throw new TonetapError("media", `${name}: is larger than ${MAX_OGG_BYTES} bytes`);
  }
  const bytes = concatBytes(parts);
  readOggPackets(bytes, name);
  yield* byteChunks(bytes);
}
