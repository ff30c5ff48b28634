import { expect, test } from "vitest";
import { LatencyHistogram } from "../../src/core/histogram.ts";

/** A record past the last bucket counts there: its quantile is that bucket's value, not infinity. */
const LAST_BUCKET_MS = 0.01 * 1.05 ** 399;

test("quantiles of 1–1000 ms are right to 5 %", () => {
  const histogram = new LatencyHistogram();

  for (let ms = 1; ms <= 1000; ms++) histogram.record(ms);

  for (const q of [0.01, 0.5, 0.9, 0.99]) {
    const truth = q * 1000;
    expect(histogram.quantile(q)).toBeGreaterThanOrEqual(truth * 0.95);
    expect(histogram.quantile(q)).toBeLessThanOrEqual(truth * 1.06);
  }
  expect(histogram.quantile(1)).toBe(1000);
});

test("an empty histogram answers 0, also after a reset", () => {
  const histogram = new LatencyHistogram();
  expect(histogram.quantile(0.99)).toBe(0);

  histogram.record(1e9);
  expect(histogram.quantile(0.5)).toBe(LAST_BUCKET_MS);
  histogram.reset();

  expect([histogram.count, histogram.quantile(0.5)]).toEqual([0, 0]);
});
