/**
 * Builds assets/demo from originals of EMO-DB: a conversation of two voices, one Ogg Opus file each, and the truth about it.
 * Run once by hand: `node scripts/build-demo-recording.ts CORPORA/emodb`. The same originals give the same bytes.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TonetapError } from "../src/core/errors.ts";
import { PIPELINE_RATE_HZ, SAMPLES_PER_MS } from "../src/core/units.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { type OpusPacket, writeOggOpus } from "../src/transport/file/ogg-opus.ts";
import { OPUS_FRAME_TICKS, OpusFrameEncoder } from "../src/transport/file/opus-rtp-encoder.ts";

type Voice = "anna" | "ben";
type Emotion = "neutral" | "happy" | "angry" | "sad";

/** The names are invented; the numbers are the corpus's speakers. */
const CORPUS_SPEAKER: Record<Voice, string> = { anna: "16", ben: "03" };
const OUT = "assets/demo";

interface Turn {
  readonly voice: Voice;
  readonly emotion: Emotion;
  /** From the end of the turn before, ms; below 0 the two talk at once. */
  readonly pauseMs: number;
  /** Corpus file names without speaker and suffix: text, emotion letter, take. */
  readonly clips: readonly string[];
}

const turn = (voice: Voice, emotion: Emotion, pauseMs: number, ...clips: string[]): Turn => ({
  voice,
  emotion,
  pauseMs,
  clips,
});

const CONVERSATION: readonly Turn[] = [
  turn("anna", "neutral", 500, "a07Nb", "b03Nb"),
  turn("ben", "neutral", 600, "b09Nc", "a04Nc"),
  turn("anna", "happy", 500, "b09Fb", "a04Fa"),
  turn("ben", "happy", 400, "a07Fa", "b01Fa"),
  turn("anna", "happy", -500, "b02Fd", "b10Fb"),
  turn("ben", "angry", 700, "b01Wa", "a05Wa"),
  turn("anna", "angry", -600, "b10Wa", "a05Wb"),
  turn("ben", "angry", -400, "b03Wc", "a07Wc"),
  turn("anna", "sad", 800, "a04Tc", "b10Tb"),
  turn("ben", "sad", 700, "b09Tc", "a02Ta"),
  turn("anna", "neutral", 600, "a02Nb", "a01Nc", "a04Nc"),
  turn("ben", "happy", 400, "a05Fc", "a04Fd"),
];
/** Between two sentences of one turn, ms. */
const SENTENCE_PAUSE_MS = 220;
const TAIL_MS = 800;
/** So that a clip's own room noise does not click in and out. */
const FADE_MS = 15;
/** Sentences come half-way to this level: anger stays louder than sadness. */
const TARGET_RMS_DB = -23;
const PEAK_LIMIT = 10 ** (-1.5 / 20);
/** Peak of the noise under everything, −84 dBFS: a quiet room, low enough for DTX. */
const NOISE_PEAK = 10 ** (-84 / 20);

interface Segment {
  readonly speaker: Voice;
  readonly startMs: number;
  readonly endMs: number;
  readonly emotion: Emotion;
  /** File name in the corpus. */
  readonly clip: string;
}

async function readClip(folder: string, file: string): Promise<Float32Array> {
  const samples = resampleTo16k(await readAudioFile(join(folder, file)));
  const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
  const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const gain = Math.min(Math.sqrt(10 ** (TARGET_RMS_DB / 20) / rms), PEAK_LIMIT / peak);
  const fade = FADE_MS * SAMPLES_PER_MS;
  return samples.map((x, i) => x * gain * Math.min(1, i / fade, (samples.length - 1 - i) / fade));
}

/** Noise that is the same on every machine: a 32-bit linear congruential generator (Numerical Recipes). */
function quietRoom(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * NOISE_PEAK;
  });
}

async function encode(samples: Float32Array): Promise<{ packets: OpusPacket[]; preSkipTicks: number }> {
  using encoder = await OpusFrameEncoder.create({ dtx: true });
  const frame = encoder.frameSamples;
  const packets: OpusPacket[] = [];
  const lookahead = (encoder.lookaheadTicks * PIPELINE_RATE_HZ) / 48_000;
  for (let at = 0; at < samples.length + lookahead; at += frame) {
    const pcm = new Float32Array(frame);
    pcm.set(samples.subarray(at, at + frame));
    packets.push({ payload: encoder.encode(pcm), durationTicks: OPUS_FRAME_TICKS });
  }
  return { packets, preSkipTicks: encoder.lookaheadTicks };
}

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  throw new TonetapError("invalid-argument", "usage: node scripts/build-demo-recording.ts CORPORA/emodb");
}

const segments: Segment[] = [];
const placed: { voice: Voice; at: number; samples: Float32Array }[] = [];
let endMs = 0;
for (const { voice, emotion, pauseMs, clips } of CONVERSATION) {
  let startMs = endMs + pauseMs;
  for (const clip of clips) {
    const file = `${CORPUS_SPEAKER[voice]}${clip}.flac`;
    const samples = await readClip(folder, file);
    endMs = startMs + Math.round(samples.length / SAMPLES_PER_MS);
    placed.push({ voice, at: startMs * SAMPLES_PER_MS, samples });
    segments.push({ speaker: voice, startMs, endMs, emotion, clip: file.replace(".flac", ".wav") });
    startMs = endMs + SENTENCE_PAUSE_MS;
  }
}
const durationMs = Math.ceil((endMs + TAIL_MS) / 20) * 20;

await mkdir(OUT, { recursive: true });
for (const [index, voice] of (["anna", "ben"] as const).entries()) {
  const track = quietRoom(durationMs * SAMPLES_PER_MS, index + 1);
  for (const { at, samples } of placed.filter((clip) => clip.voice === voice)) {
    for (let i = 0; i < samples.length; i++) track[at + i] = (track[at + i] ?? 0) + (samples[i] ?? 0);
  }
  const { packets, preSkipTicks } = await encode(track);
  const bytes = writeOggOpus({
    channels: 1,
    preSkipTicks,
    inputRateHz: PIPELINE_RATE_HZ,
    comments: [
      `TITLE=Tonetap demo call: ${voice}`,
      "COPYRIGHT=Excerpts of EMO-DB; see ATTRIBUTION.md",
      "LANGUAGE=deu",
    ],
    packets,
    durationTicks: durationMs * 48,
    serial: index + 1,
  });
  await writeFile(join(OUT, `${voice}.opus`), bytes);
  console.log(`${voice}.opus: ${bytes.length} bytes, ${durationMs / 1000} s`);
}
const speakers = (["anna", "ben"] as const).map((name) => ({
  name,
  file: `${name}.opus`,
  corpusSpeaker: CORPUS_SPEAKER[name],
}));
const timeline = { corpus: "EMO-DB", language: "de", durationMs, speakers, segments };
await writeFile(join(OUT, "timeline.json"), `${JSON.stringify(timeline, null, 2)}\n`);
