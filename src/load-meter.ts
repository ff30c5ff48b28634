/** How busy the threads are that calls need: the event loop that all of them share, and the model. Acting on it is overload.ts. */
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import type { Clock } from "./core/clock.ts";
import type { MonotonicMs } from "./core/units.ts";
import type { BatcherStats } from "./inference/index.ts";

/** Of a period, as shares of its length. */
export interface ThreadLoad {
  /** The thread that this is called on. */
  readonly main: number;
  /** The model's threads, their mean; above 1 if windows were dropped for want of time. */
  readonly model: number;
}

/** What is read of the batcher. */
export type ModelCounts = Pick<BatcherStats, "inferenceMs" | "dropped">;

export class LoadMeter {
  readonly #clock: Clock;
  #sinceMs: MonotonicMs;
  #loop: EventLoopUtilization = performance.eventLoopUtilization();
  #inferenceMs = 0;
  #late = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.now();
  }

  /** The period that ends now; begins a new one. @param threads that run the model */
  take({ inferenceMs, dropped }: ModelCounts, threads: number): ThreadLoad {
    const now = this.#clock.now();
    const elapsedMs = Math.max(1, now - this.#sinceMs);
    const loop = performance.eventLoopUtilization();
    const late = dropped.overload + dropped.deadline;
    // A model that was changed counts from zero.
    const worked = Math.max(0, inferenceMs - this.#inferenceMs) / (elapsedMs * Math.max(1, threads));
    const load = {
      main: performance.eventLoopUtilization(loop, this.#loop).utilization,
      model: late > this.#late ? Math.max(1.01, worked) : worked,
    };
    this.#sinceMs = now;
    this.#loop = loop;
    this.#inferenceMs = inferenceMs;
    this.#late = late;
    return load;
  }
}
