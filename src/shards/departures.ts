/**
 * When shards tell the main thread of windows that wait for batch-mates anyhow: all shards at one time, when the batcher would
 * send the oldest. So it is woken once a batch and shard, not for each window. What waits is in outbox.ts.
 */
import type { Clock } from "../core/clock.ts";
import { type MonotonicMs, monotonicMs } from "../core/units.ts";

/**
 * Of all shards of a pool: how long windows wait, for how long of it in a shard, and when those that wait now depart, ms;
 * survives structured cloning.
 */
export type DepartureMemory = Float64Array<SharedArrayBuffer>;

const DELAY = 0;
const HOLD = 1;
const DEPARTS = 2;

/** ms in which messages of several shards come: whoever finishes a turn is late. A batch waits for all of them. */
const APART_MS = 2;
/** Nobody can join those who depart as soon, ms. */
const LAST_CALL_MS = 0.5;

export const createDepartureMemory = (): DepartureMemory => new Float64Array(new SharedArrayBuffer(24));

/** The main thread's part. @param delayMs for which the batcher has the oldest window wait */
export function followDelay(memory: DepartureMemory, delayMs: number, shards: number): void {
  memory[DELAY] = delayMs;
  memory[HOLD] = shards === 1 ? delayMs : Math.max(0, delayMs - APART_MS);
}

/** A shard's part. Shards that ask at the same moment may differ: then the main thread is woken once more. */
export class Departures {
  readonly #memory: DepartureMemory;
  readonly #clock: Clock;

  constructor(memory: DepartureMemory, clock: Clock) {
    this.#memory = memory;
    this.#clock = clock;
  }

  /** For which the batcher has the oldest window wait now. */
  get delayMs(): number {
    return this.#memory[DELAY] ?? 0;
  }

  /** When a window that was made just now departs; undefined: at once. */
  next(): MonotonicMs | undefined {
    const holdMs = this.#memory[HOLD] ?? 0;
    if (holdMs === 0) return undefined;
    const nowMs = this.#clock.now();
    const departsMs = this.#memory[DEPARTS] ?? 0;
    if (departsMs > nowMs + LAST_CALL_MS && departsMs <= nowMs + holdMs) return monotonicMs(departsMs);
    const ownMs = monotonicMs(nowMs + holdMs);
    this.#memory[DEPARTS] = ownMs;
    return ownMs;
  }
}
