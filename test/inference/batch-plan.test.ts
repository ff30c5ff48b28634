import { describe, expect, it } from "vitest";
import { measureBatchCurve, measuredSizes, modelShape, planBatches } from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { SMALL_MANIFEST, SMALL_MODEL, settle } from "./fixtures.ts";
import { LinearBackend } from "./linear-backend.ts";

/** A device with 4 ms of overhead a batch and 1 ms a window. */
const CURVE = [1, 2, 4, 8, 16, 32].map((windows) => ({ windows, ms: 4 + windows }));
const GOAL = { latencyTargetMs: 50, maxBatch: 32, maxDelayMs: 5 };

describe("planBatches()", () => {
  it("takes batches of 16 for 50 ms: two of 32 would take 72 ms, two of 16 take 40 and leave a delay of 5", () => {
    expect(planBatches(CURVE, GOAL)).toEqual({
      maxBatch: 16,
      maxDelayMs: 5,
      longestMs: 45,
      meetsTarget: true,
    });
  });

  it("shortens the delay to the 2 ms that a target of 42 ms leaves over", () => {
    expect(planBatches(CURVE, { ...GOAL, latencyTargetMs: 42 })).toMatchObject({
      maxBatch: 16,
      maxDelayMs: 2,
      longestMs: 42,
    });
  });

  it("stays at single windows without delay where batches gain less than 5 %", () => {
    const processor = [1, 2, 4, 8].map((windows) => ({ windows, ms: 0.97 * windows + 0.03 }));

    expect(planBatches(processor, { ...GOAL, latencyTargetMs: 100 })).toMatchObject({
      maxBatch: 1,
      maxDelayMs: 0,
      longestMs: 2,
    });
  });

  it("plans the quickest there is, and says so, when 1 window takes 5 ms and the target is 8", () => {
    expect(planBatches(CURVE, { ...GOAL, latencyTargetMs: 8 })).toEqual({
      maxBatch: 1,
      maxDelayMs: 0,
      longestMs: 10,
      meetsTarget: false,
    });
  });

  it("keeps to a limit of 8 windows", () => {
    expect(planBatches(CURVE, { ...GOAL, maxBatch: 8 }).maxBatch).toBe(8);
  });

  it("refuses a target of 0 ms and a curve of 0 points", () => {
    expect(() => planBatches(CURVE, { ...GOAL, latencyTargetMs: 0 })).toThrow(
      "latencyTargetMs must be 1–60000 ms, got 0",
    );
    expect(() => planBatches([], GOAL)).toThrow("points of the batch curve must be 1–10000, got 0");
  });
});

describe("measureBatchCurve()", () => {
  it("measures the powers of 2 below a limit of 12, and 12", () => {
    expect(measuredSizes(12)).toEqual([1, 2, 4, 8, 12]);
    expect(measuredSizes(1)).toEqual([1]);
  });

  it("finds a device's 3 + 2 ms a window, from 4 runs of each of 3 sizes", async () => {
    const clock = new ManualClock();
    const backend = new LinearBackend({ clock, maxBatch: 4, batchMs: (windows) => 3 + 2 * windows });
    await backend.load(SMALL_MODEL);

    const measuring = measureBatchCurve(backend, modelShape(SMALL_MANIFEST), clock);
    for (let ms = 0; ms < 4 * (5 + 7 + 11); ms++) {
      await settle();
      clock.advance(1);
    }

    expect(await measuring).toEqual([
      { windows: 1, ms: 5 },
      { windows: 2, ms: 7 },
      { windows: 4, ms: 11 },
    ]);
    expect(backend.begun).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]);
  });
});
