/** One rule over one voice: met, raised, cleared, cooling down. Owns the judgement in time; rules are alert-rule.ts. */
import type { EventData } from "../schema.ts";
import { type AlertRule, measure, thresholdOf } from "./alert-rule.ts";

/** The measure must come back this far over the threshold before the rule counts as no longer met. */
const HYSTERESIS = 0.05;

export interface RaisedAlert {
  readonly alertId: string;
  readonly raisedMs: number;
  readonly data: EventData<"alert.raised">;
  peak: number;
}

/** What a window or the passing of time did. */
export type AlertChange = "raise" | "clear" | undefined;

export class AlertWatch {
  readonly rule: AlertRule;
  /** While it stands. */
  raised: RaisedAlert | undefined;
  value = 0;
  /** Speech for which the rule was met, ms. */
  heldMs = 0;
  #lastMetMs = Number.NEGATIVE_INFINITY;
  #coolUntilMs = Number.NEGATIVE_INFINITY;

  constructor(rule: AlertRule) {
    this.rule = rule;
  }

  /**
   * A window was judged. One that abstained neither meets the rule nor breaks it.
   * @param stepMs speech that it adds
   */
  add(data: EventData<"emotion">, stepMs: number, nowMs: number): AlertChange {
    if (data.abstained) return this.tick(nowMs);
    const value = measure(this.rule, data);
    this.value = value;
    const over = this.#over(value);
    if (over >= 0) {
      this.#lastMetMs = nowMs;
      this.heldMs += stepMs;
    } else if (over < -HYSTERESIS) this.heldMs = 0;
    else if (this.raised !== undefined) this.#lastMetMs = nowMs;
    if (this.raised !== undefined) {
      if (this.#over(value) > this.#over(this.raised.peak)) this.raised.peak = value;
      return this.tick(nowMs);
    }
    const due = over >= 0 && this.heldMs >= this.rule.minDurationMs && nowMs >= this.#coolUntilMs;
    return due ? "raise" : undefined;
  }

  /** Time passes, in silence too. */
  tick(nowMs: number): AlertChange {
    if (this.raised === undefined || nowMs - this.#lastMetMs < this.rule.clearAfterMs) return undefined;
    // Met a moment ago and asked to clear at once: it is met still.
    return nowMs === this.#lastMetMs ? undefined : "clear";
  }

  /** The alert is over. */
  cleared(nowMs: number): void {
    this.raised = undefined;
    this.heldMs = 0;
    this.#coolUntilMs = nowMs + this.rule.coolDownMs;
  }

  /** How far `value` is beyond the threshold, in the rule's direction. */
  #over(value: number): number {
    return this.rule.above === undefined ? thresholdOf(this.rule) - value : value - thresholdOf(this.rule);
  }
}
