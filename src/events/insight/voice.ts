/** What is made of one participant's events: utterances, rolling state, alerts. Who speaks when is insights.ts. */
import type { Clock } from "../../core/clock.ts";
import type { Speaker } from "../event-data.ts";
import type { EventData, EventKind } from "../schema.ts";
import { type AlertRule, isAbout, measureName, thresholdOf } from "./alert-rule.ts";
import { AlertWatch } from "./alert-watch.ts";
import { MAX_STEP_MS, RollingEmotion } from "./rolling-emotion.ts";
import { UtteranceMeter } from "./utterance-meter.ts";

/** A short talk-spurt may be judged one hop after its end; later nothing comes of it. */
const LATE_WINDOW_MS = 2_000;

export interface VoiceParts {
  readonly clock: Clock;
  readonly stateMs: number;
  readonly stateTimeConstantMs: number;
  readonly publish: <K extends EventKind>(kind: K, data: EventData<K>) => void;
  readonly nextAlertId: () => string;
}

export class Voice {
  readonly #speaker: Speaker;
  readonly #parts: VoiceParts;
  #watches: AlertWatch[];
  #rolling: RollingEmotion;
  #utterance: UtteranceMeter | undefined;
  #endedMs = 0;
  #lastMediaMs: number | undefined;
  #stateDueMs = Number.NEGATIVE_INFINITY;
  #stateChanged = false;

  constructor(speaker: Speaker, rules: readonly AlertRule[], parts: VoiceParts) {
    this.#speaker = speaker;
    this.#parts = parts;
    this.#watches = rules.filter((rule) => isAbout(rule, speaker)).map((rule) => new AlertWatch(rule));
    this.#rolling = new RollingEmotion(parts.stateTimeConstantMs);
  }

  /** Something has been judged. */
  get heard(): boolean {
    return !this.#rolling.empty;
  }

  speechStarted(data: EventData<"speech.started">): void {
    this.#tellUtterance();
    this.#utterance = new UtteranceMeter(data);
  }

  speechEnded(data: EventData<"speech.ended">): void {
    if (this.#utterance === undefined) return;
    this.#utterance.end(data);
    this.#endedMs = this.#parts.clock.now();
    if (this.#utterance.judged > 0) this.#tellUtterance();
  }

  /** @returns speech that the window adds, ms */
  emotion(data: EventData<"emotion">): number {
    const now = this.#parts.clock.now();
    const { endMs, startMs } = data.media;
    const stepMs = Math.min(MAX_STEP_MS, Math.max(0, endMs - (this.#lastMediaMs ?? startMs)));
    this.#lastMediaMs = endMs;
    this.#rolling.add(data, stepMs, endMs);
    this.#stateChanged = true;
    this.#utterance?.add(data);
    if (this.#utterance?.ended !== undefined) this.#tellUtterance();
    for (const watch of this.#watches) this.#follow(watch, watch.add(data, stepMs, now));
    this.#tellState(now);
    return stepMs;
  }

  tick(): void {
    const now = this.#parts.clock.now();
    if (this.#utterance?.ended !== undefined && now - this.#endedMs >= LATE_WINDOW_MS) this.#tellUtterance();
    for (const watch of this.#watches) this.#follow(watch, watch.tick(now));
    this.#tellState(now);
  }

  /**
   * It is not listened to any more, for now or for good: alerts are cleared, what was heard is forgotten.
   * @param keepsUtterance false when consent is gone: nothing more is told of what was heard
   */
  stop(reason: "paused" | "left", keepsUtterance: boolean): void {
    if (keepsUtterance) this.#tellUtterance();
    this.#utterance = undefined;
    const now = this.#parts.clock.now();
    for (const watch of this.#watches) {
      this.#clear(watch, reason, now);
      watch.heldMs = 0;
    }
    this.#rolling = new RollingEmotion(this.#parts.stateTimeConstantMs);
    this.#lastMediaMs = undefined;
    this.#stateChanged = false;
  }

  /** A rule was added, replaced or removed. */
  ruleChanged(ruleId: string, rule: AlertRule | undefined): void {
    const now = this.#parts.clock.now();
    this.#watches = this.#watches.filter((watch) => {
      if (watch.rule.id !== ruleId) return true;
      this.#clear(watch, "rule", now);
      return false;
    });
    if (rule !== undefined && isAbout(rule, this.#speaker)) this.#watches.push(new AlertWatch(rule));
  }

  #follow(watch: AlertWatch, change: "raise" | "clear" | undefined): void {
    const now = this.#parts.clock.now();
    if (change === "clear") this.#clear(watch, "calm", now);
    if (change !== "raise") return;
    const { rule, value, heldMs } = watch;
    const alertId = this.#parts.nextAlertId();
    const data: EventData<"alert.raised"> = {
      ...this.#alertOf(rule, alertId),
      value,
      threshold: thresholdOf(rule),
      heldMs,
      mediaMs: this.#lastMediaMs ?? 0,
    };
    watch.raised = { alertId, raisedMs: now, data, peak: value };
    this.#parts.publish("alert.raised", data);
  }

  #clear(watch: AlertWatch, reason: EventData<"alert.cleared">["reason"], now: number): void {
    const { raised, rule } = watch;
    if (raised === undefined) return;
    watch.cleared(now);
    this.#parts.publish("alert.cleared", {
      ...this.#alertOf(rule, raised.alertId),
      reason,
      durationMs: now - raised.raisedMs,
      peak: raised.peak,
    });
  }

  #alertOf(rule: AlertRule, alertId: string) {
    const { callId, participantId, role } = this.#speaker;
    return {
      callId,
      participantId,
      role,
      alertId,
      ruleId: rule.id,
      ...(rule.name === undefined ? {} : { ruleName: rule.name }),
      measure: measureName(rule),
    };
  }

  #tellUtterance(): void {
    const summary = this.#utterance?.summary();
    if (summary === undefined) return;
    this.#utterance = undefined;
    this.#parts.publish("utterance", summary);
  }

  #tellState(now: number): void {
    if (!this.#stateChanged || now < this.#stateDueMs) return;
    const state = this.#rolling.state(this.#lastMediaMs ?? 0);
    if (state === undefined) return;
    this.#stateChanged = false;
    this.#stateDueMs = now + this.#parts.stateMs;
    const { callId, participantId, role } = this.#speaker;
    this.#parts.publish("participant.state", { callId, participantId, role, ...state });
  }
}
