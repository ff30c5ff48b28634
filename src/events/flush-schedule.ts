/**
 * When subscribers are written to. Events of one turn of the loop go out together, and the busier the service is with
 * writing, the more are gathered: a system call a subscriber costs more than anything else here.
 */
import type { Clock } from "../core/clock.ts";

/** Share of the time that writing may take before events are gathered: one part writing, two parts not. */
const REST = 2;
/** ms that an event waits at most for others. */
const MAX_WAIT_MS = 20;

export class FlushSchedule {
  readonly #clock: Clock;
  #waiting: Set<() => void> = new Set();
  #scheduled = false;
  #notBeforeMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `flush` soon, once however often it is asked for. */
  request(flush: () => void): void {
    this.#waiting.add(flush);
    if (this.#scheduled) return;
    this.#scheduled = true;
    const waitMs = this.#notBeforeMs - this.#clock.now();
    if (waitMs >= 1) this.#clock.schedule(waitMs, () => this.#run());
    // After the promises of this turn: the batcher answers many windows at once.
    else setImmediate(() => this.#run());
  }

  /** Forgets a request. */
  cancel(flush: () => void): void {
    this.#waiting.delete(flush);
  }

  #run(): void {
    this.#scheduled = false;
    const startMs = this.#clock.now();
    const flushes = this.#waiting;
    this.#waiting = new Set();
    for (const flush of flushes) flush();
    const endMs = this.#clock.now();
    this.#notBeforeMs = endMs + Math.min(MAX_WAIT_MS, REST * (endMs - startMs));
  }
}
