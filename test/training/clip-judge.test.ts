import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_FEATURE_SPEC } from "../../src/core/feature-spec.ts";
import { loadModelPackage } from "../../src/inference/index.ts";
import { type ClipFeatures, clipFeatures, trimTrailingZeros } from "../../training/clip-features.ts";
import { ClipJudge, windowsOf } from "../../training/clip-judge.ts";

const TINY = fileURLToPath(new URL("../fixtures/tiny-model", import.meta.url));

/** `seconds` of a buzz in bursts, at a pitch of its own. */
function speechLike(hz: number, seconds: number): Float32Array {
  return Float32Array.from({ length: 16_000 * seconds }, (_, i) => {
    const t = i / 16_000;
    const loud = Math.sin(2 * Math.PI * 3 * t) > -0.5 ? 0.3 : 0.0001;
    return loud * (((t * hz) % 1) - 0.5);
  });
}

const clipOf = (frames: number, speech: [number, number]): ClipFeatures => ({
  channels: 1,
  frames,
  values: new Float32Array(frames),
  speech: Uint8Array.from({ length: frames }, (_, t) => (t >= speech[0] && t < speech[1] ? 1 : 0)),
});

describe("clipFeatures", () => {
  it("gives 359 frames for 363 whole ones: the last 4 lack the audio that their derivatives need", () => {
    const samples = speechLike(150, 4).subarray(0, 400 + 362 * 160);
    expect(clipFeatures(samples, DEFAULT_FEATURE_SPEC).frames).toBe(359);
  });

  it("gives the same 1,296 frames whether they pass the extractor's ring once or not", () => {
    const samples = speechLike(150, 13);
    const whole = clipFeatures(samples, DEFAULT_FEATURE_SPEC);
    const head = clipFeatures(samples.subarray(0, 48_000), DEFAULT_FEATURE_SPEC);
    expect(whole.frames).toBe(1 + Math.floor((samples.length - 400) / 160) - 4);
    expect(whole.values.subarray(0, head.values.length)).toEqual(head.values);
  });
});

describe("trimTrailingZeros", () => {
  it("takes away the noise below 2⁻¹² at the end and leaves the zeros before it", () => {
    const samples = Float32Array.of(0, 0.5, 0, -0.001, 0.0001, 0, -0.0002);
    expect(trimTrailingZeros(samples)).toEqual(samples.subarray(0, 4));
    expect(trimTrailingZeros(new Float32Array(3)).length).toBe(0);
  });
});

describe("windowsOf", () => {
  it("cuts 500 frames of talk into 5 windows of 300, half a second apart, from 100 ms before it", () => {
    expect(windowsOf(clipOf(700, [100, 600]), 300)).toEqual(
      [90, 140, 190, 240, 290].map((first) => ({ first, count: 300 })),
    );
  });

  it("gives 1 short window to a short recording, and a whole one that has next to no speech", () => {
    expect(windowsOf(clipOf(200, [50, 150]), 300)).toEqual([{ first: 40, count: 120 }]);
    expect(windowsOf(clipOf(200, [50, 60]), 300)).toEqual([{ first: 0, count: 200 }]);
  });
});

describe("ClipJudge", () => {
  let judge: ClipJudge;
  beforeAll(async () => {
    judge = await ClipJudge.open(await loadModelPackage(TINY));
  });
  afterAll(() => judge.close());

  it("gives 7 probabilities that sum to 1, the same each time", async () => {
    const clips = [clipFeatures(speechLike(120, 12), DEFAULT_FEATURE_SPEC)];
    const first = await judge.judge(clips, 0, "cold");
    expect(first.length).toBe(7);
    expect(first.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
    expect(await judge.judge(clips, 0, "cold")).toEqual(first);
  });

  it("hears 1 other recording of the voice before a warm judgement, and none before a cold one", async () => {
    const low = clipFeatures(speechLike(90, 3), DEFAULT_FEATURE_SPEC);
    const high = clipFeatures(speechLike(300, 3), DEFAULT_FEATURE_SPEC);
    const alone = await judge.judge([low], 0, "warm");
    expect(await judge.judge([low, high], 0, "cold")).toEqual(alone);
    expect(await judge.judge([low, high], 0, "warm")).not.toEqual(alone);
  });
});
