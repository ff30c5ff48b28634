/** Features as meyda gives them, a frame at a time: MFCC and chroma every 10 ms, derivatives in plain JavaScript. */
import meydaPackage from "meyda";
import type { FeatureSpec } from "../../src/core/feature-spec.ts";
import { SAMPLES_PER_MS } from "../../src/core/units.ts";

/** The part of meyda that is used. Its ESM build is CommonJS to Node, which its types do not know. */
interface Meyda {
  bufferSize: number;
  sampleRate: number;
  melBands: number;
  numberOfMFCCCoefficients: number;
  extract(
    features: readonly ["mfcc", "chroma", "energy"],
    signal: Float32Array,
  ): { readonly mfcc: number[]; readonly chroma: number[]; readonly energy: number } | null;
}
const meyda = meydaPackage as unknown as Meyda;

/** meyda's frames are as long as its FFT. */
const FRAME_SAMPLES = 512;
/** meyda's MFCC takes log(1 + x): it wants PCM at the scale of 16-bit integers. */
const INT16_SCALE = 32_768;
/** Pitch classes and energy. */
const OTHERS = 13;

export class NaiveFeatures {
  readonly #mfcc: number;
  readonly #hopLength: number;
  readonly #reach: number;
  readonly #windowFrames: number;
  readonly #framesPerHop: number;
  #pcm = new Float32Array(0);
  /** MFCC, chroma and energy of the latest frames. */
  #frames: number[][] = [];
  #sinceWindow = 0;

  constructor(spec: FeatureSpec, windowFrames: number, hopMs: number) {
    this.#mfcc = spec.mfcc;
    this.#hopLength = spec.hopLength;
    this.#reach = spec.deltaWidth >> 1;
    this.#windowFrames = windowFrames;
    this.#framesPerHop = (hopMs * SAMPLES_PER_MS) / spec.hopLength;
    meyda.bufferSize = FRAME_SAMPLES;
    meyda.sampleRate = spec.sampleRateHz;
    meyda.melBands = spec.melBands;
    meyda.numberOfMFCCCoefficients = spec.mfcc;
  }

  /** Values of a frame: MFCC, Δ, ΔΔ, chroma, energy. */
  get channels(): number {
    return 3 * this.#mfcc + OTHERS;
  }

  /** @returns whether a window is due */
  push(samples: Float32Array): boolean {
    const pcm = new Float32Array(this.#pcm.length + samples.length);
    pcm.set(this.#pcm);
    for (const [i, sample] of samples.entries()) pcm[this.#pcm.length + i] = sample * INT16_SCALE;
    this.#pcm = pcm;
    while (this.#pcm.length >= FRAME_SAMPLES) {
      const found = meyda.extract(["mfcc", "chroma", "energy"], this.#pcm.subarray(0, FRAME_SAMPLES));
      if (found !== null) this.#frames.push([...found.mfcc, ...found.chroma, Math.log(found.energy + 1e-10)]);
      this.#pcm = this.#pcm.subarray(this.#hopLength);
      this.#sinceWindow++;
    }
    while (this.#frames.length > this.#windowFrames) this.#frames.shift();
    if (this.#frames.length < this.#windowFrames || this.#sinceWindow < this.#framesPerHop) return false;
    this.#sinceWindow = 0;
    return true;
  }

  /** The latest frames, [T, C]. */
  window(): Float32Array {
    const { channels } = this;
    const out = new Float32Array(this.#frames.length * channels);
    for (const [t, frame] of this.#frames.entries()) {
      for (let c = 0; c < this.#mfcc; c++) out[t * channels + c] = frame[c] ?? 0;
      for (let c = 0; c < OTHERS; c++) {
        out[t * channels + 3 * this.#mfcc + c] = frame[this.#mfcc + c] ?? 0;
      }
    }
    this.#differentiate(out, 0, this.#mfcc);
    this.#differentiate(out, this.#mfcc, 2 * this.#mfcc);
    return out;
  }

  /** Slope over ±reach frames of the channels at `from`, into those at `to`; edges repeat. */
  #differentiate(values: Float32Array, from: number, to: number): void {
    const { channels } = this;
    const frames = values.length / channels;
    let norm = 0;
    for (let n = 1; n <= this.#reach; n++) norm += 2 * n * n;
    for (let t = 0; t < frames; t++) {
      for (let c = 0; c < this.#mfcc; c++) {
        let sum = 0;
        for (let n = 1; n <= this.#reach; n++) {
          const after = Math.min(frames - 1, t + n) * channels + from + c;
          const before = Math.max(0, t - n) * channels + from + c;
          sum += n * ((values[after] ?? 0) - (values[before] ?? 0));
        }
        values[t * channels + to + c] = sum / norm;
      }
    }
  }
}
