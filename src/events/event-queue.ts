/** What one subscriber has not taken yet: bounded, in order, giving up what matters least first. */
import { BoundedQueue } from "../core/bounded-queue.ts";
import type { PublishedEvent } from "./published-event.ts";

/**
 * Two queues, each of `limit` events: one of events that the next of their kind makes obsolete (emotion, states,
 * quality), one of those that must not be missed (joined, left, utterance, alert). So a flood of the first never pushes
 * out the second. When the first is full it keeps the latest event of each voice and kind; only if that is not enough do
 * the oldest go. `shift()` merges both back into the order of publishing.
 */
export class EventQueue {
  readonly limit: number;
  readonly #essential: BoundedQueue<PublishedEvent>;
  #expendable: PublishedEvent[] = [];
  #taken = 0;
  /** Pushes to a full queue before it is worth looking for obsolete events again. */
  #patience = 0;
  #coalesced = 0;
  #lost = 0;

  constructor(limit: number) {
    this.limit = limit;
    this.#essential = new BoundedQueue(limit, "drop-oldest");
  }

  get length(): number {
    return this.#expendable.length - this.#taken + this.#essential.length;
  }

  /** Events given up since construction because a later one of the same voice and kind was waiting too. */
  get coalesced(): number {
    return this.#coalesced;
  }

  /** Events given up since construction for other reasons: nothing tells what they told. */
  get lost(): number {
    return this.#lost + this.#essential.dropped;
  }

  push(event: PublishedEvent): void {
    if (!event.expendable) {
      this.#essential.push(event);
      return;
    }
    if (this.#expendable.length - this.#taken >= this.limit) this.#makeRoom();
    this.#expendable.push(event);
  }

  shift(): PublishedEvent | undefined {
    const expendable = this.#expendable[this.#taken];
    const essential = this.#essential.peek();
    if (expendable === undefined) return this.#essential.shift();
    if (essential !== undefined && essential.order < expendable.order) return this.#essential.shift();
    this.#taken++;
    if (this.#taken === this.#expendable.length) {
      this.#expendable = [];
      this.#taken = 0;
    } else if (this.#taken >= this.limit) this.#compactTaken();
    return expendable;
  }

  /** Gives up everything; it counts as lost. */
  clear(): void {
    this.#lost += this.length;
    this.#expendable = [];
    this.#taken = 0;
    this.#essential.clear();
  }

  #makeRoom(): void {
    this.#compactTaken();
    if (this.#patience > 0) this.#patience--;
    else this.#coalesce();
    if (this.#expendable.length < this.limit) return;
    this.#expendable.shift();
    this.#lost++;
  }

  /** Keeps the latest of each key. */
  #coalesce(): void {
    const before = this.#expendable.length;
    const keys = new Set<string>();
    const kept: PublishedEvent[] = [];
    for (let i = before - 1; i >= 0; i--) {
      const event = this.#expendable[i];
      if (event === undefined || keys.has(event.key)) continue;
      keys.add(event.key);
      kept.push(event);
    }
    this.#expendable = kept.reverse();
    this.#coalesced += before - kept.length;
    // Looking costs as much as the queue is long: seldom, when there are about as many voices as places.
    if (before - kept.length < this.limit / 8) this.#patience = this.limit >> 3;
  }

  #compactTaken(): void {
    if (this.#taken === 0) return;
    this.#expendable = this.#expendable.slice(this.#taken);
    this.#taken = 0;
  }
}
