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

export class NaiveFeatures {
  readonly #spec: FeatureSpec;
  readonly #windowFrames: number;
  readonly #framesPerHop: number;
  #pcm = new Float32Array(0);
  /** MFCC, chroma and energy of the latest frames. */
  #frames: number[][] = [];
  #sinceWindow = 0;

  constructor(spec: FeatureSpec, windowFrames: number, hopMs: number) {
    this.#spec = spec;
    this.#windowFrames = windowFrames;
    this.#framesPerHop = (hopMs * SAMPLES_PER_MS) / spec.hopLength;
    meyda.bufferSize = FRAME_SAMPLES;
    meyda.sampleRate = spec.sampleRateHz;
    meyda.melBands = spec.melBands;
    meyda.numberOfMFCCCoefficients = spec.mfcc;
  }

  /** @returns whether a window is due */
  push(samples: Float32Array): boolean {
    const pcm = new Float32Array(this.#pcm.length + samples.length);
    pcm.set(this.#pcm);
    pcm.set(
      samples.map((sample) => sample * INT16_SCALE),
      this.#pcm.length,
    );
    this.#pcm = pcm;
    while (this.#pcm.length >= FRAME_SAMPLES) {
      const found = meyda.extract(["mfcc", "chroma", "energy"], this.#pcm.subarray(0, FRAME_SAMPLES));
      if (found !== null) {
        this.#frames.push([...found.mfcc, ...found.chroma, 10 * Math.log10(found.energy + 1e-10)]);
      }
      this.#pcm = this.#pcm.subarray(this.#spec.hopLength);
      this.#sinceWindow++;
    }
    this.#frames = this.#frames.slice(-this.#windowFrames);
    if (this.#frames.length < this.#windowFrames || this.#sinceWindow < this.#framesPerHop) return false;
    this.#sinceWindow = 0;
    return true;
  }

  /** [T, C]: MFCC, Δ, ΔΔ, chroma, energy. */
  window(): Float32Array {
    const { mfcc, deltaWidth } = this.#spec;
    const cepstra = this.#frames.map((frame) => frame.slice(0, mfcc));
    const delta = derivative(cepstra, deltaWidth >> 1);
    const delta2 = derivative(delta, deltaWidth >> 1);
    return Float32Array.from(
      this.#frames.flatMap((frame, t) => [
        ...frame.slice(0, mfcc),
        ...(delta[t] ?? []),
        ...(delta2[t] ?? []),
        ...frame.slice(mfcc),
      ]),
    );
  }
}

/** Slope over ±reach frames; edges repeat. */
function derivative(frames: readonly number[][], reach: number): number[][] {
  let norm = 0;
  for (let n = 1; n <= reach; n++) norm += 2 * n * n;
  const at = (t: number): number[] => frames[Math.min(frames.length - 1, Math.max(0, t))] ?? [];
  return frames.map((frame, t) =>
    frame.map((_, c) => {
      let sum = 0;
      for (let n = 1; n <= reach; n++) sum += n * ((at(t + n)[c] ?? 0) - (at(t - n)[c] ?? 0));
      return sum / norm;
    }),
  );
}
