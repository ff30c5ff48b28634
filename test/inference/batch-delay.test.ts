import { describe, expect, it } from "vitest";
import { BatchDelay, type DelayLimits } from "../../src/inference/batch-delay.ts";

const delay = (limits: Partial<DelayLimits> = {}): BatchDelay =>
  new BatchDelay({ maxDelayMs: 5, busyDelayMs: 20, deadlineMs: 1_000, ...limits });

/** ms at loads of 0, 30, 45, 60 and 120 %. */
const followed = (limits?: Partial<DelayLimits>): number[] => {
  const made = delay(limits);
  return [0, 0.3, 0.45, 0.6, 1.2].map((load) => {
    made.follow(load);
    return Math.round(1_000 * made.ms) / 1_000;
  });
};

describe("BatchDelay", () => {
  it("is 5 ms up to 30 % of a thread, 20 from 60 % on, and between the two in proportion", () => {
    expect(followed()).toEqual([5, 5, 12.5, 20, 20]);
  });

  it("is 5 ms before anything is known of the load", () => {
    expect(delay().ms).toBe(5);
  });

  it("is 0 at any load where 0 is the most that is waited", () => {
    expect(followed({ maxDelayMs: 0 })).toEqual([0, 0, 0, 0, 0]);
  });

  it("never shrinks with the load: where 3 ms are for a busy machine and 5 for an idle one, it is 5", () => {
    expect(followed({ busyDelayMs: 3 })).toEqual([5, 5, 5, 5, 5]);
  });

  it("ends 5 ms before the first deadline, but not before the 5 ms of an idle machine are over", () => {
    const busy = delay();
    busy.follow(1);

    // Came at 100 ms; the first that waits is late at so many.
    expect([1_100, 118, 112, 108].map((dueMs) => busy.endsMs(100, dueMs))).toEqual([120, 113, 107, 105]);
  });
});
