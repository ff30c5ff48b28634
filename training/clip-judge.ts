/** Recordings of one speaker → probabilities, by the product's features, normaliser and model runner. */
import { TonetapError } from "../src/core/errors.ts";
import type { Closable } from "../src/core/lifecycle.ts";
import type { ModelManifest } from "../src/core/model.ts";
import { type ModelPackage, modelShape, OnnxBackend, softmax, WindowMemory } from "../src/inference/index.ts";
import { RunningNormaliser } from "../src/stream/normaliser.ts";
import type { ClipFeatures } from "./clip-features.ts";

/** Frames between windows: the product's 0.5 s. */
const HOP_FRAMES = 50;
/** Frames before and after speech that belong to a window: the product's 100 ms. */
const MARGIN_FRAMES = 10;
/** Speech frames of the speaker's other recordings that a warm judgement has heard before: 30 s. */
const WARM_FRAMES = 3_000;
/** A recording with less speech than this is judged as a whole. */
const LEAST_SPEECH_FRAMES = 20;
const MAX_BATCH = 16;
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

/** `cold`: the recording is the first that is heard of this voice. `warm`: up to 30 s of its other recordings were heard. */
export type Adaptation = "cold" | "warm";

/** One window of a recording: frames [first, first + count). */
interface Span {
  readonly first: number;
  readonly count: number;
}

/** Judges whole recordings as the mean over windows cut as the live product cuts them. */
export class ClipJudge implements Closable {
  readonly #manifest: ModelManifest;
  readonly #backend: OnnxBackend;
  readonly #memory: WindowMemory;
  readonly #rows: number[];

  private constructor(manifest: ModelManifest, backend: OnnxBackend) {
    this.#manifest = manifest;
    this.#backend = backend;
    this.#memory = new WindowMemory(MAX_BATCH, modelShape(manifest));
    this.#rows = Array.from({ length: MAX_BATCH }, (_, i) => this.#memory.take(i - 1) ?? i);
  }

  /** @throws TonetapError as InferenceBackend.load. */
  static async open(model: ModelPackage): Promise<ClipJudge> {
    const backend = new OnnxBackend({ device: "cpu", maxBatch: MAX_BATCH });
    await backend.load(model);
    return new ClipJudge(model.manifest, backend);
  }

  /** @param clips all recordings of one speaker. @returns mean probabilities of clips[index], one a label. */
  async judge(clips: readonly ClipFeatures[], index: number, adaptation: Adaptation): Promise<Float64Array> {
    const clip = clips[index];
    if (clip === undefined || clip.frames === 0)
      throw new TonetapError("media", "it is shorter than one frame");
    const normaliser = new RunningNormaliser(this.#manifest.normalisation, clip.channels);
    if (adaptation === "warm") warmUp(normaliser, clips, index);
    const shape = modelShape(this.#manifest);
    const spans = windowsOf(clip, shape.frames);
    const mean = new Float64Array(shape.labels);
    let heard = 0;
    for (let at = 0; at < spans.length; at += MAX_BATCH) {
      const batch = spans.slice(at, at + MAX_BATCH);
      batch.forEach((span, i) => {
        const end = span.first + span.count;
        observe(normaliser, clip, heard, end);
        heard = Math.max(heard, end);
        const window = new Float32Array(shape.channels * shape.frames);
        copyTransposed(clip, span.first, span.count, window, shape.frames);
        normaliser.apply(window, shape.frames, span.count);
        this.#memory.write(this.#rows[i] ?? i, window, span.count);
      });
      const logits = new Float32Array(batch.length * shape.labels);
      await this.#backend.run({ memory: this.#memory, rows: this.#rows.slice(0, batch.length) }, logits);
      for (let i = 0; i < batch.length; i++) {
        const row = logits.subarray(i * shape.labels, (i + 1) * shape.labels);
        const probabilities = softmax(row, this.#manifest.temperature);
        if (probabilities === undefined)
          throw new TonetapError("internal", "the model gave no finite result");
        probabilities.forEach((p, k) => {
          mean[k] = (mean[k] ?? 0) + p / spans.length;
        });
      }
    }
    return mean;
  }

  close(): Promise<void> {
    return this.#backend.close();
  }
}

/** Every half second of the talk, as long as a full window fits; one shorter window when none does. */
export function windowsOf(clip: ClipFeatures, windowFrames: number): Span[] {
  const spoken = clip.speech.reduce((sum, flag) => sum + flag, 0);
  const whole = spoken < LEAST_SPEECH_FRAMES;
  const first = whole ? 0 : Math.max(0, clip.speech.indexOf(1) - MARGIN_FRAMES);
  const end = whole ? clip.frames : Math.min(clip.frames, clip.speech.lastIndexOf(1) + 1 + MARGIN_FRAMES);
  const spans: Span[] = [];
  // A last window may miss half a hop: it then ends with the talk.
  for (let at = first; at === first || at + windowFrames < end + HOP_FRAMES / 2; at += HOP_FRAMES) {
    spans.push({ first: at, count: Math.min(windowFrames, end - at) });
  }
  return spans;
}

/**
 * Hears other recordings of the voice. Manifests list one emotion after the other, calls do not: the golden ratio's
 * steps through the list meet all of them evenly, and the same ones every time.
 */
function warmUp(normaliser: RunningNormaliser, clips: readonly ClipFeatures[], index: number): void {
  let heard = 0;
  const met = new Set([index]);
  for (let step = 1; met.size < clips.length && heard < WARM_FRAMES; step++) {
    const place = (index + Math.floor(step * GOLDEN_RATIO * clips.length)) % clips.length;
    const other = clips[place];
    if (other === undefined || met.has(place)) continue;
    met.add(place);
    observe(normaliser, other, 0, other.frames);
    heard += other.speech.reduce((sum, flag) => sum + flag, 0);
  }
}

function observe(normaliser: RunningNormaliser, clip: ClipFeatures, first: number, end: number): void {
  const count = end - first;
  if (count <= 0) return;
  const block = new Float32Array(clip.channels * count);
  copyTransposed(clip, first, count, block, count);
  normaliser.observe(block, count, count, clip.speech.subarray(first, end));
}

/** out[c · stride + t] = frame first + t, channel c. */
function copyTransposed(
  clip: ClipFeatures,
  first: number,
  count: number,
  out: Float32Array,
  stride: number,
): void {
  for (let t = 0; t < count; t++) {
    const row = (first + t) * clip.channels;
    for (let c = 0; c < clip.channels; c++) out[c * stride + t] = clip.values[row + c] ?? 0;
  }
}
