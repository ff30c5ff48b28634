/**
 * How long a window may wait for batch-mates, by how busy the machine is. A batch costs the threads on both its sides
 * something however small it is: being woken, the weights read once, the event loop's turn. An idle machine has that to
 * spare, and answers soon; a busy one serves more calls when windows wait a little longer.
 */
import { assertRange, TonetapError } from "../core/errors.ts";

export interface DelayLimits {
  /** On an idle machine, ms. 0–50; 0: no window ever waits. */
  readonly maxDelayMs: number;
  /** On a busy one, ms. 0–50; less than `maxDelayMs`: as that. */
  readonly busyDelayMs: number;
  /** After which a window is dropped, ms. 10–60,000. */
  readonly deadlineMs: number;
}

/** Share of its time that the busiest thread works, up to which the machine is idle, and from which on it is busy. */
const IDLE_LOAD = 0.3;
const BUSY_LOAD = 0.6;
/** ms before the first deadline at which batch-mates are waited for no longer. */
const RESERVE_MS = 5;

/** @throws TonetapError invalid-argument */
export class BatchDelay {
  readonly #limits: DelayLimits;
  #ms: number;

  constructor(limits: DelayLimits) {
    const { maxDelayMs, busyDelayMs, deadlineMs } = limits;
    assertRange("maxDelayMs", maxDelayMs, 0, 50, "ms");
    assertRange("busyDelayMs", busyDelayMs, 0, 50, "ms");
    assertRange("deadlineMs", deadlineMs, 10, 60_000, "ms");
    if (maxDelayMs >= deadlineMs) {
      throw new TonetapError(
        "invalid-argument",
        `maxDelayMs must be below deadlineMs, ${deadlineMs} ms, got ${maxDelayMs}`,
      );
    }
    this.#limits = limits;
    this.#ms = maxDelayMs;
  }

  /** In force, ms. */
  get ms(): number {
    return this.#ms;
  }

  /** The longest that a window waits now if no other has a deadline of its own, ms. */
  get longestMs(): number {
    return this.endsMs(0, this.#limits.deadlineMs);
  }

  /** @param load share of its time that the busiest thread works; above 1: it does not keep up */
  follow(load: number): void {
    const { maxDelayMs, busyDelayMs } = this.#limits;
    const more = maxDelayMs === 0 ? 0 : Math.max(0, busyDelayMs - maxDelayMs);
    const share = (load - IDLE_LOAD) / (BUSY_LOAD - IDLE_LOAD);
    this.#ms = maxDelayMs + more * Math.min(1, Math.max(0, share));
  }

  /**
   * When the oldest window waits no longer, ms.
   * @param cameMs when it came
   * @param nextDueMs nothing that waits is late before
   */
  endsMs(cameMs: number, nextDueMs: number): number {
    const { maxDelayMs } = this.#limits;
    // A short deadline of one window never costs it: idle or not, it waits maxDelayMs at most before it is near.
    return Math.min(cameMs + this.#ms, Math.max(cameMs + maxDelayMs, nextDueMs - RESERVE_MS));
  }
}
