/** Events that a target never took: the latest, in memory, for whoever looks after it. */
import type { Clock } from "../../core/clock.ts";
import type { Speaker } from "../event-data.ts";
import type { PublishedEvent } from "../published-event.ts";

const LIMIT = 100;
/** ms that one is kept: as long as somebody who is called needs to look. */
const MAX_AGE_MS = 3_600_000;

export interface DeadLetter {
  readonly published: PublishedEvent;
  /** RFC 3339. */
  readonly failedAt: string;
  readonly attempts: number;
  /** What the last attempt met: `503`, `timeout`, … */
  readonly reason: string;
}

export class DeadLetters {
  readonly #clock: Clock;
  #letters: (DeadLetter & { readonly atMs: number })[] = [];
  #total = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Since construction. */
  get total(): number {
    return this.#total;
  }

  add(published: PublishedEvent, attempts: number, reason: string): void {
    this.#total++;
    const atMs = this.#clock.now();
    const failedAt = new Date(this.#clock.wall()).toISOString();
    this.#letters.push({ published, failedAt, attempts, reason, atMs });
    if (this.#letters.length > LIMIT) this.#letters.shift();
  }

  /** Oldest first. */
  list(): readonly DeadLetter[] {
    const oldestMs = this.#clock.now() - MAX_AGE_MS;
    this.#letters = this.#letters.filter(({ atMs }) => atMs > oldestMs);
    return this.#letters;
  }

  /** @returns what was there */
  clear(): readonly DeadLetter[] {
    const letters = this.list();
    this.#letters = [];
    return letters;
  }

  /** Consent is withdrawn: nothing of this voice is kept. */
  forget({ callId, participantId }: Pick<Speaker, "callId" | "participantId">): void {
    this.#letters = this.#letters.filter(
      ({ published: { event } }) =>
        !("participantId" in event.data) ||
        event.data.callId !== callId ||
        event.data.participantId !== participantId,
    );
  }
}
