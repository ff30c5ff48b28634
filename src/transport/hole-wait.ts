/**
 * How long a missing packet is worth waiting for. Owns the two measurements behind that number, no packets and no timers.
 *
 * Nothing waits while packets are in sequence, so the usual playout delay is not needed. What counts is how much later
 * than its successor a missing packet comes, if it comes. That is measured directly: each time a hole is filled, or
 * would have been, its lateness raises a peak that decays. A path that never reorders and never resends costs the
 * minimum; a peer that answers NACKs after 90 ms soon gets 112 ms. Before the first such packet there is only the
 * interarrival jitter to go by: to overtake, two packets' delays must differ by more than their spacing.
 */

/** A peak of lateness is worth half after this time, ms: longer than pauses in speech, shorter than a call. */
const PEAK_HALF_LIFE_MS = 10_000;
/** Waits this much longer than the peak. */
const PEAK_MARGIN = 1.25;
/** J is a mean of absolute differences: for a Laplace distribution 3 J holds 95 % of them. */
const JITTER_FACTOR = 3;
/** A difference in delay beyond this is a step of the sender's clock or a pause of ours, not jitter, ms. */
const MAX_JITTER_STEP_MS = 1000;

export class HoleWait {
  readonly minMs: number;
  readonly maxMs: number;
  #jitterMs = 0;
  #peakMs = 0;
  #peakAtMs = 0;
  #lastArrivalMs = 0;
  #lastTimestamp = 0;
  #started = false;

  constructor(minMs: number, maxMs: number) {
    this.minMs = minMs;
    this.maxMs = maxMs;
  }

  /** Forgets the sender's timestamps, not the path: a new stream begins. */
  restart(): void {
    this.#started = false;
  }

  /** Takes an audio packet's times, in the order of arrival; returns the jitter, ms. RFC 3550 A.8. */
  observe(timestamp: number, clockRateHz: number, arrivalMs: number): number {
    if (this.#started) {
      const mediaMs = (((timestamp - this.#lastTimestamp) | 0) * 1000) / clockRateHz;
      const stepMs = Math.abs(arrivalMs - this.#lastArrivalMs - mediaMs);
      if (stepMs <= MAX_JITTER_STEP_MS) this.#jitterMs += (stepMs - this.#jitterMs) / 16;
    }
    this.#started = true;
    this.#lastTimestamp = timestamp;
    this.#lastArrivalMs = arrivalMs;
    return this.#jitterMs;
  }

  /** A missing packet came `latenessMs` after its hole was seen, in time or not. */
  came(latenessMs: number, nowMs: number): void {
    // What comes later than the longest wait cannot be helped: waiting longer for the next one would gain nothing.
    if (latenessMs > this.maxMs || latenessMs < this.#peakNow(nowMs)) return;
    this.#peakMs = latenessMs;
    this.#peakAtMs = nowMs;
  }

  /** Wait for a hole, ms. */
  waitMs(nowMs: number): number {
    const wanted = Math.max(PEAK_MARGIN * this.#peakNow(nowMs), JITTER_FACTOR * this.#jitterMs);
    return Math.min(this.maxMs, Math.max(this.minMs, wanted));
  }

  #peakNow(nowMs: number): number {
    return this.#peakMs * 2 ** ((this.#peakAtMs - nowMs) / PEAK_HALF_LIFE_MS);
  }
}
