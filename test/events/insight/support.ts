/** A hub whose every event is looked through by Insights, as in the engine, on a clock that tests move. */
import type { ParticipantRole } from "../../../src/core/audio-source.ts";
import { EventFactory } from "../../../src/events/event-factory.ts";
import { EventHub } from "../../../src/events/hub.ts";
import { AlertRules } from "../../../src/events/insight/alert-rules.ts";
import { Insights } from "../../../src/events/insight/insights.ts";
import type { EventData, EventKind, EventOf, TonetapEvent } from "../../../src/events/schema.ts";
import { tonetapEventSchema } from "../../../src/events/schema.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { joinedOf, LABELS } from "../support.ts";

export interface Said {
  readonly angry?: number;
  readonly abstained?: boolean;
  readonly valence?: number;
  readonly speechShare?: number;
  readonly model?: string;
}

export class Conversation {
  readonly clock = new ManualClock();
  readonly hub = new EventHub();
  readonly factory = new EventFactory({ clock: this.clock });
  readonly rules: AlertRules;
  readonly insights: Insights;
  readonly events: TonetapEvent[] = [];
  /** Media time of everyone, ms. */
  mediaMs = 0;
  #index = 0;

  constructor(rules: readonly unknown[] = [], stateMs = 2000) {
    this.rules = new AlertRules(LABELS, rules);
    this.hub.events$.subscribe((event) => this.events.push(tonetapEventSchema.parse(event)));
    this.insights = new Insights({
      clock: this.clock,
      rules: this.rules,
      stateMs,
      stateTimeConstantMs: 8000,
      epoch: this.factory.epoch,
      publish: (kind, data) => this.publish(kind, data),
    });
  }

  publish<K extends EventKind>(kind: K, data: EventData<K>): void {
    this.insights.before(kind, data);
    const event = this.factory.create(kind, data) as TonetapEvent;
    this.hub.publish(event);
    this.insights.after(event);
  }

  join(participantId: string, role: ParticipantRole = "customer", callId = "c1"): Talker {
    if (!this.hub.calls().some((call) => call.callId === callId)) this.publish("call.started", { callId });
    const speaker = { callId, participantId, role };
    this.publish("participant.joined", joinedOf(speaker));
    return new Talker(this, speaker);
  }

  of<K extends EventKind>(kind: K): EventOf<K>[] {
    return this.events.filter((event) => event.type === `tonetap.${kind}`) as unknown as EventOf<K>[];
  }

  nextIndex(): number {
    return this.#index++;
  }
}

export class Talker {
  readonly #conversation: Conversation;
  readonly #speaker: { callId: string; participantId: string; role: ParticipantRole };
  #startedMs = 0;

  constructor(conversation: Conversation, speaker: Talker["speaker"]) {
    this.#conversation = conversation;
    this.#speaker = speaker;
  }

  get speaker(): { callId: string; participantId: string; role: ParticipantRole } {
    return this.#speaker;
  }

  starts(): void {
    this.#startedMs = this.#conversation.mediaMs;
    this.#conversation.publish("speech.started", this.#edge());
  }

  ends(): void {
    const durationMs = this.#conversation.mediaMs - this.#startedMs;
    this.#conversation.publish("speech.ended", { ...this.#edge(), durationMs });
  }

  /** One window every 500 ms, for `ms` of speech. */
  says(said: Said, ms = 500): void {
    for (let left = ms; left > 0; left -= 500) {
      this.#conversation.clock.advance(500);
      this.#conversation.mediaMs += 500;
      this.judged(said);
    }
  }

  /** A window that ends now. */
  judged({ angry = 0.1, abstained = false, valence = 0, speechShare = 1, model = "tiny@1.0.0" }: Said): void {
    const { mediaMs } = this.#conversation;
    const rest = (1 - angry) / 3;
    const scores = Object.fromEntries(LABELS.map((label) => [label, label === "angry" ? angry : rest]));
    this.#conversation.publish("emotion", {
      ...this.#speaker,
      index: this.#conversation.nextIndex(),
      top: angry >= rest ? "angry" : "neutral",
      confidence: Math.max(angry, rest),
      abstained,
      scores,
      valence,
      arousal: 0,
      media: { startMs: Math.max(0, mediaMs - 3000), endMs: mediaMs },
      wall: { start: "2026-01-01T00:00:00.000Z", end: "2026-01-01T00:00:03.000Z", source: "arrival" },
      speechShare,
      lossShare: 0.02,
      model,
      latency: { totalMs: 10, queuedMs: 1, inferenceMs: 5 },
      batchSize: 1,
    });
  }

  /** Nothing comes. */
  isSilent(ms: number): void {
    this.#conversation.mediaMs += ms;
    this.#conversation.clock.advance(ms);
  }

  leaves(): void {
    const windows = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
    this.#conversation.publish("participant.left", {
      ...this.#speaker,
      reason: "left",
      durationMs: 1,
      windows,
    });
  }

  #edge(): EventData<"speech.started"> {
    const at = new Date(this.#conversation.clock.wall()).toISOString();
    return { ...this.#speaker, mediaMs: this.#conversation.mediaMs, wall: { at, source: "arrival" } };
  }
}
