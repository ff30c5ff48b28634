/** What one subscriber has not taken yet: bounded, in order, giving up what matters least first. */
import { BoundedQueue } from "../core/bounded-queue.ts";
import type { PublishedEvent } from "./published-event.ts";

/**
 * Two bounded queues, each of `limit` events and dropping its oldest: one of events that the next of their kind makes
 * obsolete (emotion, quality), one of those that must not be missed (joined, left, speech ended). So a flood of the
 * first never pushes out the second. `shift()` merges them back into the order of publishing.
 */
export class EventQueue {
  readonly limit: number;
  readonly #expendable: BoundedQueue<PublishedEvent>;
  readonly #essential: BoundedQueue<PublishedEvent>;
  #discarded = 0;

  constructor(limit: number) {
    this.limit = limit;
    this.#expendable = new BoundedQueue(limit, "drop-oldest");
    this.#essential = new BoundedQueue(limit, "drop-oldest");
  }

  get length(): number {
    return this.#expendable.length + this.#essential.length;
  }

  /** Events given up since construction. */
  get dropped(): number {
    return this.#expendable.dropped + this.#essential.dropped + this.#discarded;
  }

  push(event: PublishedEvent): void {
    (event.expendable ? this.#expendable : this.#essential).push(event);
  }

  shift(): PublishedEvent | undefined {
    const expendable = this.#expendable.peek();
    const essential = this.#essential.peek();
    if (expendable === undefined) return this.#essential.shift();
    if (essential === undefined || expendable.order < essential.order) return this.#expendable.shift();
    return this.#essential.shift();
  }

  /** Gives up everything; it counts as dropped. */
  clear(): void {
    this.#discarded += this.length;
    this.#expendable.clear();
    this.#essential.clear();
  }
}
