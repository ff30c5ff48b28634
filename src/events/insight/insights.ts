/**
 * What follows from events: utterances, rolling states of voices and calls, alerts. The engine shows it every event,
 * before and after publishing it; what follows is published in turn. One voice is voice.ts.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { Speaker } from "../event-data.ts";
import type { EventData, EventKind, TonetapEvent } from "../schema.ts";
import type { AlertRules } from "./alert-rules.ts";
import { RollingEmotion } from "./rolling-emotion.ts";
import { Voice, type VoiceParts } from "./voice.ts";

/** How often silence is noticed, ms. */
const TICK_MS = 500;

export interface InsightOptions {
  readonly clock: Clock;
  readonly rules: AlertRules;
  /** ms between two states of one voice or call at least. */
  readonly stateMs: number;
  /** τ of rolling-emotion.ts, ms. */
  readonly stateTimeConstantMs: number;
  /** Begins the ids of alerts: unique among runs of a service. */
  readonly epoch: string;
  readonly publish: VoiceParts["publish"];
}

interface CallInsight {
  readonly voices: Map<string, Voice>;
  rolling: RollingEmotion;
  dueMs: number;
  changed: boolean;
}

export class Insights implements Closable {
  readonly #options: InsightOptions;
  readonly #parts: VoiceParts;
  readonly #calls = new Map<string, CallInsight>();
  readonly #stops: readonly (() => void)[];

  constructor(options: InsightOptions) {
    const { clock, stateMs, stateTimeConstantMs, publish, rules, epoch } = options;
    this.#options = options;
    // No counter: a tenant would learn how many alerts others have.
    const nextAlertId = (): string => `${epoch}-a${randomBytes(9).toString("base64url")}`;
    this.#parts = { clock, stateMs, stateTimeConstantMs, publish, nextAlertId };
    this.#stops = [
      clock.repeat(TICK_MS, () => this.#tick()),
      rules.onChange((ruleId) => this.#ruleChanged(ruleId)),
    ];
  }

  /** To be called before an event is made: what a voice leaves unsaid comes before its leaving. */
  before(kind: EventKind, data: EventData<EventKind>): void {
    if (kind === "participant.left") this.#voice(data)?.stop("left", true);
    if (kind === "participant.paused") this.#voice(data)?.stop("paused", true);
  }

  /** Consent is gone: nothing more is told of what was heard, and the call's means, which hold it, begin anew. */
  forget(speaker: Speaker): void {
    this.#voice(speaker)?.stop("paused", false);
    const call = this.#calls.get(speaker.callId);
    if (call === undefined) return;
    call.rolling = new RollingEmotion(this.#options.stateTimeConstantMs);
    call.changed = false;
  }

  /** To be called when an event has been published. */
  after(event: TonetapEvent): void {
    switch (event.type) {
      case "tonetap.call.started":
        this.#calls.set(event.data.callId, {
          voices: new Map(),
          rolling: new RollingEmotion(this.#options.stateTimeConstantMs),
          dueMs: Number.NEGATIVE_INFINITY,
          changed: false,
        });
        return;
      case "tonetap.call.ended":
        this.#calls.delete(event.data.callId);
        return;
      case "tonetap.participant.joined": {
        const { callId, participantId, role } = event.data;
        const voice = new Voice({ callId, participantId, role }, this.#options.rules.list(), this.#parts);
        this.#calls.get(callId)?.voices.set(participantId, voice);
        return;
      }
      case "tonetap.participant.left":
        this.#calls.get(event.data.callId)?.voices.delete(event.data.participantId);
        return;
      case "tonetap.speech.started":
        this.#voice(event.data)?.speechStarted(event.data);
        return;
      case "tonetap.speech.ended":
        this.#voice(event.data)?.speechEnded(event.data);
        return;
      case "tonetap.emotion":
        this.#emotion(event.data);
        return;
      default:
        return;
    }
  }

  close(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#calls.clear();
    return Promise.resolve();
  }

  #voice(data: object): Voice | undefined {
    if (!("callId" in data && "participantId" in data)) return undefined;
    return this.#calls.get(data.callId as string)?.voices.get(data.participantId as string);
  }

  #emotion(data: EventData<"emotion">): void {
    const call = this.#calls.get(data.callId);
    const voice = call?.voices.get(data.participantId);
    if (call === undefined || voice === undefined) return;
    const stepMs = voice.emotion(data);
    const now = this.#options.clock.now();
    call.rolling.add(data, stepMs, now);
    call.changed = true;
    this.#tellCall(data.callId, call, now);
  }

  #tellCall(callId: string, call: CallInsight, now: number): void {
    if (!call.changed || now < call.dueMs) return;
    const state = call.rolling.state(now);
    if (state === undefined) return;
    call.changed = false;
    call.dueMs = now + this.#options.stateMs;
    const voices = [...call.voices.values()].filter(({ heard }) => heard).length;
    this.#options.publish("call.state", { callId, voices, ...state });
  }

  #tick(): void {
    const now = this.#options.clock.now();
    for (const [callId, call] of this.#calls) {
      for (const voice of call.voices.values()) voice.tick();
      this.#tellCall(callId, call, now);
    }
  }

  #ruleChanged(ruleId: string): void {
    const rule = this.#options.rules.list().find(({ id }) => id === ruleId);
    for (const { voices } of this.#calls.values()) {
      for (const voice of voices.values()) voice.ruleChanged(ruleId, rule);
    }
  }
}
