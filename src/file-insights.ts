/**
 * What follows from one recording's results: utterances, rolling states, alerts, as a live call would have had them.
 * Its clock stands at the media time of the latest result, so that they do not depend on how fast the machine is.
 */
import type { Config } from "./config.ts";
import { type MonotonicMs, wallMs } from "./core/units.ts";
import { VirtualClock } from "./core/virtual-clock.ts";
import {
  type AlertRules,
  type EventFactory,
  type EventKind,
  type EventOfAny,
  Insights,
  type Speaker,
  type TonetapEvent,
} from "./events/index.ts";

/** Events of one recording. */
export type AnalysisEvent = EventOfAny<
  | "emotion"
  | "speech.started"
  | "speech.ended"
  | "utterance"
  | "participant.state"
  | "alert.raised"
  | "alert.cleared"
>;

export interface FileInsightsOptions {
  readonly speaker: Speaker;
  readonly config: Config;
  readonly rules: AlertRules;
  readonly factory: EventFactory;
  /** Of this file among those analysed: alerts of two files have different ids. */
  readonly index: number;
  readonly onEvent: (event: AnalysisEvent) => void;
}

export class FileInsights {
  readonly #clock = new VirtualClock(wallMs(0));
  readonly #insights: Insights;
  readonly #speaker: Speaker;
  readonly #onEvent: (event: AnalysisEvent) => void;

  constructor({ speaker, config, rules, factory, index, onEvent }: FileInsightsOptions) {
    const { stateMs, stateTimeConstantMs } = config.events;
    this.#speaker = speaker;
    this.#onEvent = onEvent;
    this.#insights = new Insights({
      clock: this.#clock,
      rules,
      stateMs,
      stateTimeConstantMs,
      epoch: `${factory.epoch}-f${index}`,
      publish: (kind, data) => {
        // A recording is one voice: its call's state would say the same once more.
        if (kind !== "call.state") onEvent(factory.create(kind as EventKind, data) as AnalysisEvent);
      },
    });
    const joined = { ...speaker, consent: "granted", paused: false, transport: "file" } as const;
    this.#insights.after(factory.create("call.started", { callId: speaker.callId }) as TonetapEvent);
    this.#insights.after(factory.create("participant.joined", joined) as TonetapEvent);
  }

  /** Gives `event` on, and then what follows from it. @param atMs media time at which it was known */
  take(event: AnalysisEvent, atMs: MonotonicMs): void {
    this.#clock.advanceTo(atMs);
    this.#onEvent(event);
    this.#insights.after(event as TonetapEvent);
  }

  /** The recording is over: what is left unsaid is told, alerts that stand are cleared. */
  async end(atMs: MonotonicMs): Promise<void> {
    this.#clock.advanceTo(atMs);
    const windows = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
    const left = { ...this.#speaker, reason: "left", durationMs: atMs, windows } as const;
    this.#insights.before("participant.left", left);
    await this.#insights.close();
  }
}
