/** A clock that moves only when told: timers fire in order, at their exact time. */
import type { Clock } from "../../src/core/clock.ts";
import { type MonotonicMs, monotonicMs, type WallMs, wallMs } from "../../src/core/units.ts";

interface Timer {
  readonly id: number;
  dueMs: number;
  readonly periodMs: number;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  readonly #epochMs: number;
  #nextId = 0;
  #timers: Timer[] = [];

  constructor(startMs = 0, epochMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
    this.#epochMs = epochMs;
  }

  /** Timers still waiting: a leak check. */
  get pending(): number {
    return this.#timers.length;
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
    return this.#add(periodMs, periodMs, task);
  }

  /** Moves time on by `ms`, running what falls due on the way. */
  advance(ms: number): void {
    const end = this.#nowMs + ms;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.dueMs <= end && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      }
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.periodMs > 0) next.dueMs += next.periodMs;
      else this.#remove(next.id);
      next.task();
    }
    this.#nowMs = end;
  }

  #add(delayMs: number, periodMs: number, task: () => void): () => void {
    const timer: Timer = { id: this.#nextId++, dueMs: this.#nowMs + delayMs, periodMs, task };
    this.#timers.push(timer);
    return () => this.#remove(timer.id);
  }

  #remove(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  }
}
