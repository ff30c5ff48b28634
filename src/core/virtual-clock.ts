/** A clock that its owner moves: analysis of recordings runs on media time, as fast as the machine can. */
import type { Clock } from "./clock.ts";
import { assertRange } from "./errors.ts";
import { type MonotonicMs, monotonicMs, type WallMs, wallMs } from "./units.ts";

interface Timer {
  dueMs: number;
  /** 0: once. */
  readonly periodMs: number;
  readonly task: () => void;
}

/** Timers fire inside advanceTo(), in the order they fall due, each at its exact time. */
export class VirtualClock implements Clock {
  readonly #epochMs: number;
  readonly #timers = new Set<Timer>();
  #nowMs = 0;

  /** @param epochMs time of day at time 0. */
  constructor(epochMs: WallMs) {
    this.#epochMs = epochMs;
  }

  /** Timers still waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): MonotonicMs {
    return monotonicMs(this.#nowMs);
  }

  wall(): WallMs {
    return wallMs(this.#epochMs + this.#nowMs);
  }

  schedule(delayMs: number, task: () => void): () => void {
    return this.#add(Math.max(0, delayMs), 0, task);
  }

  repeat(periodMs: number, task: () => void): () => void {
    assertRange("period", periodMs, 1e-3, Number.MAX_SAFE_INTEGER, "ms");
    return this.#add(periodMs, periodMs, task);
  }

  /** Moves on to `timeMs`, running what falls due on the way. Time never goes back: an earlier time does nothing. */
  advanceTo(timeMs: MonotonicMs): void {
    for (let timer = this.#next(timeMs); timer !== undefined; timer = this.#next(timeMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      if (timer.periodMs > 0) timer.dueMs += timer.periodMs;
      else this.#timers.delete(timer);
      timer.task();
    }
    this.#nowMs = Math.max(this.#nowMs, timeMs);
  }

  /** The first to fall due by `untilMs`; of two at once the older. A chain has a handful: a scan beats a heap. */
  #next(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  #add(delayMs: number, periodMs: number, task: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + delayMs, periodMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
