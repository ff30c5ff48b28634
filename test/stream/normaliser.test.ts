import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Normalisation } from "../../src/core/model.ts";
import { RunningNormaliser } from "../../src/stream/normaliser.ts";

const prior: Normalisation = {
  kind: "speaker",
  mean: [-20, 3],
  std: [10, 2],
  priorFrames: 100,
  maxFrames: 1_000_000,
};

const all = (count: number): Uint8Array => new Uint8Array(count).fill(1);

/** Mean and deviation, by what the normaliser makes of 0 and 1. */
function statistics(normaliser: RunningNormaliser, channels: number): { mean: number; std: number }[] {
  const probe = new Float32Array(channels * 2).map((_, i) => i % 2);
  normaliser.apply(probe, 2, 2);
  return Array.from({ length: channels }, (_, c) => {
    const [zero, one] = [probe[2 * c] ?? 0, probe[2 * c + 1] ?? 0];
    return { mean: -zero / (one - zero), std: 1 / (one - zero) };
  });
}

describe("running normaliser", () => {
  test("global: (x − mean) / std whatever 50 frames were observed", () => {
    const normaliser = new RunningNormaliser({ ...prior, kind: "global" }, 2);
    normaliser.observe(new Float32Array(100).fill(7), 50, 50, all(50));
    const features = Float32Array.of(-20, -10, 99, 3, 5, 99);

    normaliser.apply(features, 3, 2);

    expect([...features]).toEqual([0, 1, 99, 0, 1, 99]);
    expect(normaliser.adaptive).toBe(false);
  });

  test("speaker: equals the statistics of 100 prior frames and all speech frames together, to 1e-4", () => {
    const frames = fc.array(fc.tuple(fc.double({ min: -90, max: 10, noNaN: true }), fc.boolean()), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 60 }), (sequence, hop) => {
        const normaliser = new RunningNormaliser(prior, 2);
        for (let at = 0; at < sequence.length; at += hop) {
          const part = sequence.slice(at, at + hop);
          const features = Float32Array.from([...part.map(([x]) => x), ...part.map(([x]) => x / 10)]);
          normaliser.observe(
            features,
            part.length,
            part.length,
            Uint8Array.from(part, ([, speech]) => Number(speech)),
          );
        }
        const speech = sequence.filter(([, chosen]) => chosen).map(([x]) => Math.fround(x));
        const total = 100 + speech.length;
        const mean = (100 * -20 + speech.reduce((sum, x) => sum + x, 0)) / total;
        const square = (100 * (100 + 400) + speech.reduce((sum, x) => sum + x * x, 0)) / total;
        const [first] = statistics(normaliser, 2);
        expect(normaliser.frames).toBe(total);
        expect(Math.abs((first?.mean ?? 0) - mean)).toBeLessThan(1e-3);
        expect(Math.abs((first?.std ?? 0) - Math.sqrt(square - mean * mean))).toBeLessThan(1e-3);
      }),
      { numRuns: 50 },
    );
  });

  test("past 1,000 frames the oldest fade: after 10,000 frames of a new microphone the old one is gone", () => {
    const normaliser = new RunningNormaliser({ ...prior, maxFrames: 1_000 }, 2);
    const block = (mean: number): Float32Array =>
      Float32Array.from({ length: 100 }, (_, i) => mean + (i % 2 === 0 ? -3 : 3));
    for (let i = 0; i < 40; i++) normaliser.observe(block(-50), 50, 50, all(50));
    for (let i = 0; i < 200; i++) normaliser.observe(block(-10), 50, 50, all(50));

    const [first] = statistics(normaliser, 2);
    expect(normaliser.frames).toBe(1_000);
    expect(first?.mean).toBeCloseTo(-10, 1);
    expect(first?.std).toBeCloseTo(3, 1);
  });

  test("a channel that never moves is scaled by 1 % of the prior's deviation, not by 0", () => {
    const normaliser = new RunningNormaliser({ ...prior, priorFrames: 0 }, 2);
    normaliser.observe(new Float32Array(100).fill(4), 50, 50, all(50));
    const [first, second] = statistics(normaliser, 2);
    expect(first?.std).toBeCloseTo(0.1, 3);
    expect(second?.std).toBeCloseTo(0.02, 3);
  });

  const next: Normalisation = { ...prior, mean: [-30, 5], std: [6, 4], priorFrames: 150 };
  const speech = Float32Array.from({ length: 120 }, (_, i) => 10 * Math.sin(i));

  test.each([1_000_000, 180])(
    "rebased after 60 frames, or forked, it is as if the other prior had been there from the start: at most %i frames",
    (maxFrames) => {
      const [before, after] = [
        { ...prior, priorFrames: 150, maxFrames },
        { ...next, maxFrames },
      ];
      const rebased = new RunningNormaliser(before, 2);
      const fromStart = new RunningNormaliser(after, 2);
      for (const one of [rebased, fromStart]) one.observe(speech, 60, 60, all(60));
      const forked = rebased.fork(after);

      rebased.rebase(after);
      for (const one of [rebased, forked, fromStart]) one.observe(speech, 60, 30, all(30));

      const want = statistics(fromStart, 2);
      for (const one of [rebased, forked]) {
        expect(one.frames).toBeCloseTo(fromStart.frames, 6);
        for (const [c, { mean, std }] of statistics(one, 2).entries()) {
          expect(mean).toBeCloseTo(want[c]?.mean ?? 0, 4);
          expect(std).toBeCloseTo(want[c]?.std ?? 0, 4);
        }
      }
    },
  );

  test("a global one takes the other's 2 means at once; another kind is refused", () => {
    const normaliser = new RunningNormaliser({ ...prior, kind: "global" }, 2);

    normaliser.rebase({ ...next, kind: "global" });

    const means = statistics(normaliser, 2).map(({ mean }) => mean);
    expect(means).toEqual([expect.closeTo(-30, 3), expect.closeTo(5, 3)]);
    expect(() => normaliser.rebase(next)).toThrow("normalisation.kind must stay global, got speaker");
  });

  test("reset brings back the prior of 100 frames", () => {
    const normaliser = new RunningNormaliser(prior, 2);
    normaliser.observe(new Float32Array(100).fill(4), 50, 50, all(50));
    normaliser.reset();
    expect(normaliser.frames).toBe(100);
    expect(statistics(normaliser, 2)[0]?.mean).toBeCloseTo(-20, 4);
  });

  test.each([
    ["mean must have 3 values, got 2", { ...prior, std: [1, 1, 1] }],
    ["std must have 3 values, got 1", { ...prior, mean: [0, 0, 0], std: [1] }],
    ["std must be above 0", { ...prior, mean: [0, 0, 0], std: [1, 0, 1] }],
    ["mean must be finite", { ...prior, mean: [0, Number.NaN, 0], std: [1, 1, 1] }],
    ["maxFrames at least 1", { ...prior, mean: [0, 0, 0], std: [1, 1, 1], maxFrames: 0 }],
  ])("a normalisation that does not fit 3 channels is refused: %s", (message, normalisation) => {
    expect(() => new RunningNormaliser(normalisation, 3)).toThrow(message);
  });
});
