/**
 * The latest events of this run, for subscribers who lost their connection. In memory only, bounded by bytes and age.
 * Who asks for what is hub.ts.
 */
import type { Clock } from "../core/clock.ts";
import type { Speaker } from "./event-data.ts";
import type { PublishedEvent } from "./published-event.ts";
import type { TonetapEvent } from "./schema.ts";

export interface ReplayLimits {
  /** ms that an event is kept; 0 keeps none. */
  readonly maxAgeMs: number;
  /** Bytes of JSON kept. */
  readonly maxBytes: number;
}

/** Kinds that tell what a voice expressed: they go when its consent is withdrawn. */
const VOICE_DERIVED: ReadonlySet<TonetapEvent["type"]> = new Set([
  "tonetap.emotion",
  "tonetap.utterance",
  "tonetap.participant.state",
  "tonetap.call.state",
  "tonetap.alert.raised",
  "tonetap.alert.cleared",
]);

interface Entry {
  readonly published: PublishedEvent;
  readonly atMs: number;
  readonly bytes: number;
}

export class ReplayRing {
  readonly #limits: ReplayLimits;
  readonly #clock: Clock;
  #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;
  /** Of the newest event that has gone; "" while the ring holds this run from its start. */
  #lastGone = "";
  #cancelExpiry: (() => void) | undefined;

  constructor(limits: ReplayLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Bytes of JSON held. */
  get bytes(): number {
    return this.#bytes;
  }

  push(published: PublishedEvent): void {
    if (this.#limits.maxAgeMs === 0) {
      this.#lastGone = published.event.id;
      return;
    }
    const bytes = published.json.length;
    this.#entries.push({ published, atMs: this.#clock.now(), bytes });
    this.#bytes += bytes;
    while (this.#bytes > this.#limits.maxBytes) this.#dropOldest();
    this.#cancelExpiry ??= this.#clock.schedule(this.#limits.maxAgeMs, () => this.#expire());
  }

  /**
   * What came after the event of that id, oldest first; undefined when some of it is gone.
   * @param id of an event of this run, or one that sorts before all of them to have the run whole
   */
  after(id: string): PublishedEvent[] | undefined {
    if (id < this.#lastGone) return undefined;
    // Ids of a run sort as strings in the order of publishing.
    let low = this.#head;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && entry.published.event.id <= id) low = middle + 1;
      else high = middle;
    }
    return this.#entries.slice(low).map(({ published }) => published);
  }

  /** Consent is withdrawn: what this voice expressed is told to nobody any more, nor what its call's means hold of it. */
  forget({ callId, participantId }: Pick<Speaker, "callId" | "participantId">): void {
    const isKept = ({ published: { event } }: Entry): boolean =>
      !VOICE_DERIVED.has(event.type) ||
      !("callId" in event.data) ||
      event.data.callId !== callId ||
      ("participantId" in event.data && event.data.participantId !== participantId);
    this.#entries = this.#entries.slice(this.#head).filter(isKept);
    this.#head = 0;
    this.#bytes = this.#entries.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  clear(): void {
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    while (this.#head < this.#entries.length) this.#dropOldest();
  }

  #expire(): void {
    this.#cancelExpiry = undefined;
    const oldestMs = this.#clock.now() - this.#limits.maxAgeMs;
    for (let entry = this.#entries[this.#head]; entry !== undefined; entry = this.#entries[this.#head]) {
      if (entry.atMs > oldestMs) {
        // Not at each event's own time: a tenth of the age is exact enough, and a tenth of the timers.
        const waitMs = Math.max(entry.atMs - oldestMs, this.#limits.maxAgeMs / 10);
        this.#cancelExpiry = this.#clock.schedule(waitMs, () => this.#expire());
        return;
      }
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const entry = this.#entries[this.#head];
    if (entry === undefined) return;
    this.#lastGone = entry.published.event.id;
    this.#bytes -= entry.bytes;
    this.#head++;
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
