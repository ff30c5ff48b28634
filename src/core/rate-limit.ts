/** How fast a peer may send: a token bucket. What becomes of who sends faster is its owner's business. */
import type { Clock } from "./clock.ts";

/** Seconds of the permitted rate that may come at once: a network that stood still delivers what it held. */
const BURST_S = 10;

export class RateLimit {
  readonly #clock: Clock;
  readonly #perSecond: number;
  #tokens: number;
  #lastMs: number;

  /** @param perSecond greater than 0 */
  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#tokens = perSecond * BURST_S;
    this.#lastMs = clock.now();
  }

  /** Whether one more may come now. */
  take(): boolean {
    const now = this.#clock.now();
    const earned = ((now - this.#lastMs) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#perSecond * BURST_S, this.#tokens + earned);
    this.#lastMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
