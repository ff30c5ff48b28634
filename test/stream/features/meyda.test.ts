import meydaPackage from "meyda";
import { expect, test } from "vitest";
import { DEFAULT_FEATURE_SPEC, type FeatureSpec } from "../../../src/core/feature-spec.ts";
import { createFeatureExtractor } from "../../../src/stream/features/index.ts";
import { readGolden } from "./golden.ts";
import { voice } from "./signals.ts";

/** What both can do: meyda's frames are as long as its FFT and its bands span everything. */
const SHARED: FeatureSpec = {
  ...DEFAULT_FEATURE_SPEC,
  frameLength: 512,
  melLowHz: 0,
  melHighHz: 8000,
  logMel: true,
};
const MEYDA: FeatureSpec = { ...SHARED, extractor: "meyda" };

interface MeydaObject {
  bufferSize: number;
  sampleRate: number;
  melBands: number;
  numberOfMFCCCoefficients: number;
  extract(features: string[], signal: Float32Array): { mfcc: number[]; chroma: number[]; melBands: number[] };
}
const shared = meydaPackage as unknown as MeydaObject;

function features(spec: FeatureSpec, pcm: Float32Array): { rows: Float32Array[]; frames: number } {
  const extractor = createFeatureExtractor(spec, { capacityFrames: 400, maxHoldFrames: 0 });
  const frames = extractor.push(pcm);
  const out = new Float32Array(extractor.channels * frames);
  extractor.copy(0, frames, out, frames);
  extractor.close();
  return {
    rows: Array.from({ length: extractor.channels }, (_, c) => out.subarray(c * frames, (c + 1) * frames)),
    frames,
  };
}

function correlation(a: Float32Array, b: Float32Array): number {
  const mean = (x: Float32Array): number => x.reduce((sum, v) => sum + v, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let ab = 0;
  let aa = 0;
  let bb = 0;
  a.forEach((x, i) => {
    const [da, db] = [x - ma, (b[i] ?? 0) - mb];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  });
  return ab / Math.sqrt(aa * bb);
}

test("meyda's first 4 MFCC, their derivatives and its chroma follow ours: correlation above 0.85", () => {
  const { pcm } = readGolden("speech");
  const ours = features(SHARED, pcm);
  const theirs = features(MEYDA, pcm);

  expect(theirs.frames).toBe(ours.frames);
  // Higher coefficients and single bands part: the mel scales, the shapes of the triangles and the logs differ.
  const channels = [0, 24, 48, 112].flatMap((first) => [0, 1, 2, 3].map((i) => first + i));
  for (const c of channels) {
    const r = correlation(ours.rows[c] ?? new Float32Array(0), theirs.rows[c] ?? new Float32Array(0));
    expect(r, `channel ${c}`).toBeGreaterThan(0.85);
  }
});

test("frame 17 is exactly what meyda says of samples 17·160 … +512 at int16 scale", () => {
  const pcm = voice(8000, 12);
  const fresh: MeydaObject = Object.assign({}, shared, {
    bufferSize: 512,
    sampleRate: 16_000,
    melBands: 40,
    numberOfMFCCCoefficients: 24,
    melFilterBank: undefined,
    chromaFilterBank: undefined,
  });

  const got = features(MEYDA, pcm);

  const want = fresh.extract(
    ["mfcc", "chroma", "melBands"],
    pcm.slice(17 * 160, 17 * 160 + 512).map((x) => x * 32_768),
  );
  expect(got.rows.slice(0, 24).map((row) => row[17])).toEqual([...Float32Array.from(want.mfcc)]);
  expect(got.rows.slice(72, 112).map((row) => row[17])).toEqual([...Float32Array.from(want.melBands)]);
  expect(got.rows.slice(112, 124).map((row) => row[17])).toEqual([...Float32Array.from(want.chroma)]);
});

test("stale filter banks of 44.1 kHz in meyda's shared object change 0 of our values", () => {
  const pcm = voice(8000, 13);
  const before = features(MEYDA, pcm);
  Object.assign(shared, { bufferSize: 1024, sampleRate: 44_100, melBands: 40, numberOfMFCCCoefficients: 24 });
  shared.extract(["mfcc", "chroma"], new Float32Array(1024).fill(0.1));

  const doubled = features({ ...MEYDA, fftSize: 1024, frameLength: 1024 }, pcm);
  const after = features(MEYDA, pcm);

  expect(after).toEqual(before);
  expect(doubled.rows.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true);
});

test("what meyda cannot do is refused by name: frames of 400 in an FFT of 512", () => {
  expect(() => createFeatureExtractor({ ...MEYDA, frameLength: 400 })).toThrowError(
    "features.frameLength must be 512 for the meyda extractor, got 400",
  );
  expect(() => createFeatureExtractor({ ...MEYDA, melLowHz: 40 })).toThrowError("melLowHz must be 0");
});
