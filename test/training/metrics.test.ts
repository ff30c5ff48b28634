import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { figuresOf } from "../../training/metrics.ts";

const LABELS = ["angry", "happy", "sad"];
const saying = (truth: string, ...probabilities: number[]) => ({
  truth,
  probabilities: Float64Array.from(probabilities),
});

describe("figuresOf", () => {
  it("weighs 2 labels the same, though one has 3 recordings and the other 1", () => {
    const figures = figuresOf(
      [
        saying("angry", 0.8, 0.1, 0.1),
        saying("angry", 0.8, 0.1, 0.1),
        saying("angry", 0.1, 0.1, 0.8),
        saying("sad", 0.6, 0.1, 0.3),
      ],
      LABELS,
    );
    expect(figures?.uar).toBeCloseTo((2 / 3 + 0) / 2, 12);
    expect(figures?.accuracy).toBe(0.5);
    expect(figures?.confusion).toEqual([
      [2, 1],
      [1, 0],
    ]);
  });

  it("never guesses a label that none of the 2 recordings has", () => {
    const figures = figuresOf([saying("angry", 0.3, 0.6, 0.1), saying("sad", 0.1, 0.7, 0.2)], LABELS);
    expect(figures?.labels).toEqual(["angry", "sad"]);
    expect(figures?.uar).toBe(1);
  });

  it("has nothing to say of 1 recording whose label the model lacks", () => {
    expect(figuresOf([saying("boredom", 0.3, 0.6, 0.1)], LABELS)).toBeUndefined();
  });

  it("gives 1 for an oracle and stays within 0 and 1 for any judge", () => {
    const recording = fc.record({
      truth: fc.constantFrom(...LABELS),
      probabilities: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(recording, { minLength: 1, maxLength: 30 }), (recordings) => {
        const any = recordings.map(({ truth, probabilities }) => saying(truth, ...probabilities));
        const uar = figuresOf(any, LABELS)?.uar ?? -1;
        expect(uar).toBeGreaterThanOrEqual(0);
        expect(uar).toBeLessThanOrEqual(1);
        const oracle = recordings.map(({ truth }) =>
          saying(truth, ...LABELS.map((l) => Number(l === truth))),
        );
        expect(figuresOf(oracle, LABELS)?.uar).toBe(1);
      }),
    );
  });
});
