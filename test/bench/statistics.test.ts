/** The benchmarks' statistics. */
import { describe, expect, test } from "vitest";
import { crossing, median, slope } from "../../bench/live/statistics.ts";

describe("statistics", () => {
  test("the median of 4 values is the mean of the middle 2, of 3 the middle one", () => {
    expect(median([40, 10, 20, 30])).toBe(25);
    expect(median([3, 1, 2])).toBe(2);
    expect(median([])).toBe(0);
  });

  test("the slope of y = 3 + 2x is 2, and unknown when all x are one", () => {
    expect(slope([0, 1, 5, 9].map((x) => [x, 3 + 2 * x]))).toBeCloseTo(2, 12);
    expect(
      slope([
        [4, 1],
        [4, 9],
      ]),
    ).toBeUndefined();
    expect(slope([])).toBeUndefined();
  });

  test("the line through (100, 0.4) and (300, 1.2) reaches 1 at 250", () => {
    expect(crossing([100, 0.4], [300, 1.2], 1)).toBeCloseTo(250, 9);
    expect(crossing([1, 2], [3, 2], 5)).toBeUndefined();
  });
});
