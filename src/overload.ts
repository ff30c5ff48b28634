/**
 * What is given up when there is more work than machine, in a stated order, and taken back when there is room again.
 * Measuring the load is load-meter.ts; leaving windows out is slidingWindows()' `pace`; refusing is engine.ts.
 */
import { assertRange, TonetapError } from "./core/errors.ts";
import { OVERLOAD_STEPS, type OverloadStep } from "./core/overload.ts";
import type { MonotonicMs } from "./core/units.ts";
import type { WindowPriority } from "./core/window.ts";

export interface OverloadOptions {
  /** Share of the busiest thread above which a step is taken. 0.3–1. */
  readonly raiseAbove: number;
  /** Share below which the last step is taken back. 0.1 up to raiseAbove. */
  readonly lowerBelow: number;
  /** Every how manieth window of a participant is judged from `longer-hop` on. 2–10. */
  readonly hopFactor: number;
  /** Called with each step that is taken or taken back. */
  readonly onStep?: (step: OverloadStep, previous: OverloadStep, load: number) => void;
}

/** ms of high load before a step, and between two: the last one has to show what it brings. */
const RAISE_AFTER_MS = 2_000;
/** ms of low load before one is taken back: longer, or the service would swing. */
const LOWER_AFTER_MS = 10_000;
/** Weight of the newest measurement in what a participant is held to cost. */
const COST_GAIN = 0.2;
/** Share of a thread that a participant is held to cost before any was measured: a fifth of the least seen. */
const LEAST_COST = 0.0005;

export class OverloadControl {
  readonly #options: OverloadOptions;
  #step = 0;
  #load = 0;
  /** Since when the load is high, or low, without a break. */
  #highSince: MonotonicMs | undefined;
  #lowSince: MonotonicMs | undefined;
  #cost = LEAST_COST;
  /** Participants admitted since the last measurement, which does not show them yet. */
  #unseen = 0;
  #shed = 0;
  #refused = 0;

  /** @throws TonetapError invalid-argument */
  constructor(options: OverloadOptions) {
    assertRange("overload.raiseAbove", options.raiseAbove, 0.3, 1);
    assertRange("overload.lowerBelow", options.lowerBelow, 0.1, options.raiseAbove);
    assertRange("overload.hopFactor", options.hopFactor, 2, 10);
    this.#options = options;
  }

  get step(): OverloadStep {
    return OVERLOAD_STEPS[this.#step] ?? "none";
  }

  /** The latest measurement, 0 upwards; 1 is a thread that has no time left. */
  get load(): number {
    return this.#load;
  }

  /** Windows left out so far. */
  get shedWindows(): number {
    return this.#shed;
  }

  /** Participants refused so far. */
  get refusedParticipants(): number {
    return this.#refused;
  }

  /**
   * Takes a measurement in, about once a second.
   * @param load share of its time that the busiest thread worked; more than 1 where work was lost
   * @param participants who made it
   */
  measure(load: number, participants: number, nowMs: MonotonicMs): void {
    this.#load = load;
    this.#unseen = 0;
    // An idle service costs something too: with few participants it would count as theirs.
    if (participants >= 10 && this.#step === 0) {
      this.#cost += COST_GAIN * (Math.max(LEAST_COST, load / participants) - this.#cost);
    }
    const { raiseAbove, lowerBelow } = this.#options;
    this.#highSince = load > raiseAbove ? (this.#highSince ?? nowMs) : undefined;
    this.#lowSince = load < lowerBelow ? (this.#lowSince ?? nowMs) : undefined;
    if (this.#highSince !== undefined && nowMs - this.#highSince >= RAISE_AFTER_MS) {
      this.#highSince = nowMs;
      this.#change(1);
    } else if (this.#lowSince !== undefined && nowMs - this.#lowSince >= LOWER_AFTER_MS) {
      this.#lowSince = nowMs;
      this.#change(-1);
    }
  }

  /**
   * Asks for a place for one more participant.
   * @throws TonetapError overloaded when refusing is the step in force, or one more would not fit
   */
  admit(): void {
    const { raiseAbove } = this.#options;
    const expected = this.#load + (this.#unseen + 1) * this.#cost;
    if (this.step !== "refuse" && (this.#unseen === 0 || expected <= Math.max(raiseAbove, this.#load))) {
      this.#unseen++;
      return;
    }
    this.#refused++;
    const percent = (share: number): string => `${Math.round(share * 100)} %`;
    throw new TonetapError(
      "overloaded",
      `the machine is at ${percent(this.#load)} of a thread, ${percent(expected)} with one more participant; new ones are taken up to ${percent(raiseAbove)}`,
    );
  }

  /** Of a participant's windows one in so many is to be judged: 1 all, Infinity none. */
  paceOf(priority: WindowPriority): number {
    if (priority === "low" && this.#step >= OVERLOAD_STEPS.indexOf("skip-low"))
      return Number.POSITIVE_INFINITY;
    return this.#step > 0 ? this.#options.hopFactor : 1;
  }

  /** A window was left out for it. */
  countShed(): void {
    this.#shed++;
  }

  #change(by: 1 | -1): void {
    const previous = this.step;
    this.#step = Math.max(0, Math.min(OVERLOAD_STEPS.length - 1, this.#step + by));
    if (this.step !== previous) this.#options.onStep?.(this.step, previous, this.#load);
  }
}
