import fc from "fast-check";
import { from, lastValueFrom, toArray } from "rxjs";
import { describe, expect, it } from "vitest";
import type { EmotionResult, EstimateUnit } from "../../src/core/window.ts";
import { EmotionSmoother, type SmoothingOptions, smoothEmotion } from "../../src/inference/index.ts";
import { estimateAt, gatedAt, SMALL_MANIFEST, speechAt, windowInfoAt } from "./fixtures.ts";

// Labels: calm (0, −0.5), glad (0.8, 0.5), cross (−0.6, 1); abstains below 0.4. Windows are 500 ms apart.
const open = (options: Partial<SmoothingOptions> = {}): EmotionSmoother =>
  new EmotionSmoother({ ...SMALL_MANIFEST, timeConstantMs: 1_000, ...options });

const A = [0.7, 0.2, 0.1];
const B = [0.1, 0.6, 0.3];

/** `top` after each of the estimates. */
const tops = (smoother: EmotionSmoother, rows: readonly (readonly number[])[]): number[] =>
  rows.map((row, i) => smoother.next(estimateAt(i, row)).top);

describe("EmotionSmoother: models", () => {
  it("abstains below 0.8 and weighs valence as the model of the estimate has it, when a second one speaks", () => {
    const affect = { ...SMALL_MANIFEST.affect, calm: { valence: 1, arousal: 0 } };
    const smoother = open({
      timeConstantMs: 0,
      modelOf: (id) => (id === "small@2.0.0" ? { affect, abstainBelow: 0.8 } : undefined),
    });

    const first = smoother.next(estimateAt(0, A));
    const second = smoother.next({ ...estimateAt(1, A), model: "small@2.0.0" });

    expect([first.abstained, second.abstained]).toEqual([false, true]);
    expect(second.valence - first.valence).toBeCloseTo(0.7, 6);
  });
});

describe("EmotionSmoother: scores", () => {
  it("takes the first window as it is: 0.7, 0.2, 0.1", () => {
    const result = open().next(estimateAt(0, A));

    expect([...result.scores]).toEqual(A.map((p) => expect.closeTo(p, 6)));
    expect(result.top).toBe(0);
    expect(result.confidence).toBeCloseTo(0.7, 6);
  });

  it("moves by 1 − exp(−500 / 1000) = 0.3935 of the way towards the second window", () => {
    const smoother = open();
    smoother.next(estimateAt(0, A));

    const { scores } = smoother.next(estimateAt(1, B));

    expect([...scores]).toEqual([0.463918, 0.357388, 0.178694].map((p) => expect.closeTo(p, 5)));
  });

  it("moves twice as long a step's share, 0.6321, when 1 window between was gated", () => {
    const smoother = open();
    smoother.next(estimateAt(0, A));

    const { scores } = smoother.next(estimateAt(2, B));

    expect(scores[0]).toBeCloseTo(0.7 - 0.632121 * 0.6, 5);
  });

  it("shows each window alone when the time constant is 0", () => {
    const smoother = open({ timeConstantMs: 0 });
    smoother.next(estimateAt(0, A));

    expect([...smoother.next(estimateAt(1, B)).scores]).toEqual(B.map((p) => expect.closeTo(p, 6)));
  });

  it("starts anew when media time runs back by 500 ms", () => {
    const smoother = open();
    smoother.next(estimateAt(1, A));

    expect(smoother.next(estimateAt(0, B)).scores[1]).toBeCloseTo(0.6, 6);
  });

  it("has 1 score array a result, not shared with the next", () => {
    const smoother = open();
    const first = smoother.next(estimateAt(0, A));

    smoother.next(estimateAt(1, B));

    expect(first.scores[0]).toBeCloseTo(0.7, 6);
  });

  it("keeps scores within 0–1 with sum 1 in 200 random histories", () => {
    const row = fc
      .tuple(...Array.from({ length: 3 }, () => fc.float({ min: Math.fround(0.001), max: 1, noNaN: true })))
      .map((values) => values.map((value) => value / values.reduce((a, b) => a + b)));
    fc.assert(
      fc.property(fc.array(row, { minLength: 1 }), fc.integer({ min: 0, max: 10_000 }), (rows, ms) => {
        const smoother = open({ timeConstantMs: ms });
        for (const [i, probabilities] of rows.entries()) {
          const { scores, valence, arousal, confidence, top } = smoother.next(estimateAt(i, probabilities));
          expect(scores.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
          expect(Math.min(...scores)).toBeGreaterThanOrEqual(0);
          expect(scores[top]).toBeCloseTo(confidence, 6);
          expect(Math.abs(valence)).toBeLessThanOrEqual(0.8);
          expect(Math.abs(arousal)).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("EmotionSmoother: the label shown", () => {
  it("keeps label 0 while another leads by 0.06, less than the margin of 0.08", () => {
    const smoother = open({ timeConstantMs: 0, switchMargin: 0.08, switchWindows: 100 });

    expect(
      tops(smoother, [
        [0.6, 0.3, 0.1],
        [0.42, 0.48, 0.1],
      ]),
    ).toEqual([0, 0]);
  });

  it("switches at once to the label that leads by 0.1", () => {
    const smoother = open({ timeConstantMs: 0, switchMargin: 0.08, switchWindows: 100 });

    expect(
      tops(smoother, [
        [0.6, 0.3, 0.1],
        [0.4, 0.5, 0.1],
      ]),
    ).toEqual([0, 1]);
  });

  it("switches to a label that has led by 0.02 for 3 windows in a row", () => {
    const smoother = open({ timeConstantMs: 0, switchWindows: 3 });
    const narrow = [0.44, 0.46, 0.1];

    expect(tops(smoother, [[0.6, 0.3, 0.1], narrow, narrow, narrow])).toEqual([0, 0, 0, 1]);
  });

  it("counts anew when the shown label led once more, or ties, after 2 of 3 windows", () => {
    const narrow = [0.44, 0.46, 0.1];
    for (const relief of [
      [0.5, 0.4, 0.1],
      [0.45, 0.45, 0.1],
    ]) {
      const smoother = open({ timeConstantMs: 0, switchWindows: 3 });

      expect(tops(smoother, [A, narrow, narrow, relief, narrow, narrow, narrow])).toEqual([
        0, 0, 0, 0, 0, 0, 1,
      ]);
    }
  });

  it("counts anew when 1 other challenger leads in between", () => {
    const smoother = open({ timeConstantMs: 0, switchWindows: 3 });
    const one = [0.34, 0.36, 0.3];
    const two = [0.34, 0.3, 0.36];

    expect(tops(smoother, [A, one, one, two, one, one, one])).toEqual([0, 0, 0, 0, 0, 0, 1]);
  });

  it("switches without delay after reset(), by any lead: 0.01", () => {
    const smoother = open();
    smoother.next(estimateAt(0, A));

    smoother.reset();

    expect(smoother.next(estimateAt(1, [0.42, 0.43, 0.15])).top).toBe(1);
  });

  it("abstains at 0.399 and not at 0.4, the model's threshold", () => {
    const smoother = open({ timeConstantMs: 0 });

    expect(smoother.next(estimateAt(0, [0.399, 0.301, 0.3])).abstained).toBe(true);
    expect(smoother.next(estimateAt(1, [0.401, 0.3, 0.299])).abstained).toBe(false);
  });

  it("takes valence and arousal as the mean of 3 labels' affect weighted by their scores", () => {
    const { valence, arousal } = open().next(estimateAt(0, [0.5, 0.3, 0.2]));

    expect(valence).toBeCloseTo(0.3 * 0.8 - 0.2 * 0.6, 6);
    expect(arousal).toBeCloseTo(-0.5 * 0.5 + 0.3 * 0.5 + 0.2 * 1, 6);
  });

  it.each([
    [{ timeConstantMs: -1 }, "timeConstantMs must be 0–10000 ms, got -1"],
    [{ switchMargin: 2 }, "switchMargin must be 0–1, got 2"],
    [{ switchWindows: 0 }, "switchWindows must be 1–100, got 0"],
    [{ affect: {} }, "affect has no entry for calm"],
  ])("refuses 1 option out of range: %j", (options, message) => {
    expect(() => open(options)).toThrow(message);
  });

  it("refuses an estimate of 2 labels where the model has 3", () => {
    expect(() => open().next(estimateAt(0, [0.5, 0.5]))).toThrow("probabilities must be 3–3, got 2");
  });
});

describe("smoothEmotion()", () => {
  const through = (units: readonly EstimateUnit[], operator = smoothEmotion(SMALL_MANIFEST)) =>
    lastValueFrom(from(units).pipe(operator, toArray()));

  it("passes 3 units that are no estimates as they came", async () => {
    const units: EstimateUnit[] = [
      gatedAt(0),
      { ...windowInfoAt(1), kind: "dropped", reason: "deadline" },
      speechAt(900, "ended"),
    ];

    expect(await through(units)).toEqual(units);
  });

  it("keeps the window's identity and cost: 11 fields, the model, batch 8, 4 ms, 2 ms", async () => {
    const [result] = await through([estimateAt(3, A)]);

    expect(result).toMatchObject({
      ...windowInfoAt(3),
      kind: "emotion",
      model: "small@1.0.0",
      batchSize: 8,
      queuedMs: 4,
      inferenceMs: 2,
    });
  });

  it("forgets at the start of 1 talk-spurt, not at its end", async () => {
    const second = async (state: "started" | "ended"): Promise<number> => {
      const units = await through([estimateAt(0, A), speechAt(3_200, state), estimateAt(1, B)]);
      return (units[2] as EmotionResult).confidence;
    };

    expect(await second("started")).toBeCloseTo(0.6, 6);
    expect(await second("ended")).toBeCloseTo(0.463918, 5);
  });

  it("gives 2 subscribers of one operator a history each", async () => {
    const operator = smoothEmotion(SMALL_MANIFEST);
    await through([estimateAt(0, A)], operator);

    const [result] = await through([estimateAt(1, B)], operator);

    expect((result as EmotionResult).scores[1]).toBeCloseTo(0.6, 6);
  });
});
