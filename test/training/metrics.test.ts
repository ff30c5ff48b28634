import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { figuresOf } from "../../training/metrics.ts";

const LABELS = ["angry", "happy", "sad"];
const saying = (truth: string, ...probabilities: number[]) => ({
  truth,
  speaker: "s1",
  sex: "",
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
      0,
    );
    expect(figures?.macroF1).toBeCloseTo((2 / 3 + 0) / 2, 12);
    expect(figures?.uar).toBeCloseTo((2 / 3 + 0) / 2, 12);
    expect(figures?.accuracy).toBe(0.5);
    expect(figures?.confusion).toEqual([
      [2, 1],
      [1, 0],
    ]);
  });

  it("never guesses a label that none of the 2 recordings has", () => {
    const figures = figuresOf([saying("angry", 0.3, 0.6, 0.1), saying("sad", 0.1, 0.7, 0.2)], LABELS, 0);
    expect(figures?.labels).toEqual(["angry", "sad"]);
    expect(figures?.uar).toBe(1);
  });

  it("has nothing to say of 1 recording whose label the model lacks", () => {
    expect(figuresOf([saying("boredom", 0.3, 0.6, 0.1)], LABELS, 0)).toBeUndefined();
  });

  it("gives 1 for an oracle and stays within 0 and 1 for any judge", () => {
    const recording = fc.record({
      truth: fc.constantFrom(...LABELS),
      probabilities: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(recording, { minLength: 1, maxLength: 30 }), (recordings) => {
        const any = recordings.map(({ truth, probabilities }) => saying(truth, ...probabilities));
        const uar = figuresOf(any, LABELS, 0)?.uar ?? -1;
        expect(uar).toBeGreaterThanOrEqual(0);
        expect(uar).toBeLessThanOrEqual(1);
        const oracle = recordings.map(({ truth }) =>
          saying(truth, ...LABELS.map((l) => Number(l === truth))),
        );
        expect(figuresOf(oracle, LABELS, 0)?.uar).toBe(1);
      }),
      { numRuns: 20 },
    );
  });

  it("is calibrated to 0 when of ten guesses of 0.8 eight are right, and off by 0.8 when none is", () => {
    const ten = (right: number) =>
      Array.from({ length: 10 }, (_, i) =>
        i < right ? saying("angry", 0.8, 0.2, 0) : saying("happy", 0.8, 0.2, 0),
      );
    expect(figuresOf(ten(8), LABELS, 0)?.ece).toBeCloseTo(0, 12);
    expect(figuresOf([...ten(0), saying("angry", 1, 0, 0)], LABELS, 0)?.ece).toBeCloseTo((10 * 0.8) / 11, 12);
  });

  it("abstains below 0.6 of the model's own top probability: 2 of 4 are left, both right", () => {
    const figures = figuresOf(
      [
        saying("angry", 0.7, 0.2, 0.1),
        saying("happy", 0.2, 0.7, 0.1),
        saying("angry", 0.4, 0.5, 0.1),
        // The label that no recording has is the surest one, but not sure enough.
        saying("happy", 0.3, 0.15, 0.55),
      ],
      LABELS,
      0.6,
    );
    expect(figures?.abstention).toEqual({ below: 0.6, coverage: 0.5, accuracy: 1, uar: 1 });
    expect(figures?.accuracy).toBe(0.5);
  });

  it("gives an interval around each score that is 0 wide for an oracle, and wider over 2 unequal speakers", () => {
    const of = (speaker: string, count: number, p: number) =>
      Array.from({ length: count }, (_, i) => ({ ...saying(LABELS[i % 2] ?? "", p, 1 - p, 0), speaker }));
    const good = of("good", 0, 0).concat(
      Array.from({ length: 20 }, (_, i) => ({
        ...saying(LABELS[i % 2] ?? "", 1 - (i % 2), i % 2, 0),
        speaker: "good",
      })),
    );
    const oracle = figuresOf(good, LABELS, 0);
    expect(oracle?.interval).toEqual({ uar: [1, 1], accuracy: [1, 1], macroF1: [1, 1] });
    expect(oracle?.speakerInterval).toBeUndefined();

    const both = figuresOf([...good, ...of("bad", 20, 1)], LABELS, 0) ?? expect.fail();
    expect(both.uar).toBe(0.75);
    const [from, to] = both.interval.uar;
    expect(from).toBeLessThan(0.75);
    expect(to).toBeGreaterThan(0.75);
    expect(both.speakerInterval?.uar).toEqual([0.5, 1]);
    expect(from).toBeGreaterThan(0.5);
    expect(both.speakers).toEqual({ good: { recordings: 20, uar: 1 }, bad: { recordings: 20, uar: 0.5 } });
    expect(figuresOf([...good, ...of("bad", 20, 1)], LABELS, 0)).toEqual(both);
  });

  it("judges 2 sexes apart, by 2 and 1 speakers, and leaves out who has none", () => {
    const figures = figuresOf(
      [
        { ...saying("angry", 1, 0, 0), speaker: "a", sex: "female" },
        { ...saying("sad", 0, 0, 1), speaker: "b", sex: "female" },
        { ...saying("angry", 1, 0, 0), speaker: "c", sex: "male" },
        { ...saying("sad", 1, 0, 0), speaker: "c", sex: "male" },
        saying("sad", 1, 0, 0),
      ],
      LABELS,
      0,
    );
    expect(figures?.sexes).toEqual({
      female: { recordings: 2, speakers: 2, uar: 1 },
      male: { recordings: 2, speakers: 1, uar: 0.5 },
    });
  });
});
