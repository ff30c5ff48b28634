/** A limit on one peer's packets a second, so that a flood costs its sender and not its neighbours. Counting is the caller's. */
import type { MonotonicMs } from "../core/units.ts";

/** Speech is 50 packets a second, 100 with 10 ms frames, 400 with the shortest that Opus has. */
export const DEFAULT_MAX_PACKETS_PER_SECOND = 1_000;

/** A bucket of one second's packets: a burst after a network stall passes. */
export class PacketRate {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #lastMs = 0;

  /** @param perSecond packets a second in the long run, and in a burst */
  constructor(perSecond: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = perSecond;
    this.#tokens = perSecond;
  }

  /** Whether a packet that comes now is within the limit. */
  admit(nowMs: MonotonicMs): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#lastMs) * this.#perMs);
    this.#lastMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
