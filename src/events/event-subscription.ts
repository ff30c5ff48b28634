/** One subscriber's end of the hub: its filter, its queue, what it missed. The hub is hub.ts; who takes is up to the owner. */
import { compileFilter, type EventFilter } from "./event-filter.ts";
import { EventQueue } from "./event-queue.ts";
import type { PublishedEvent } from "./published-event.ts";
import type { TonetapEvent } from "./schema.ts";

interface SubscriptionParts {
  readonly queueLimit: number;
  readonly wake: () => void;
  readonly snapshotOf: (accepts: (event: TonetapEvent) => boolean) => PublishedEvent[];
  readonly onClose: () => void;
}

export class EventSubscription {
  readonly #parts: SubscriptionParts;
  readonly #queue: EventQueue;
  #filter: EventFilter = {};
  #accepts: (event: TonetapEvent) => boolean = () => false;
  /** Bounded by what is live, not by the queue: a snapshot is whole. */
  #snapshot: readonly PublishedEvent[] = [];
  #snapshotTaken = 0;
  #droppedTold = 0;
  #closed = false;

  /** Called by the hub. */
  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
    this.#queue = new EventQueue(parts.queueLimit);
  }

  get filter(): EventFilter {
    return this.#filter;
  }

  get queueLimit(): number {
    return this.#queue.limit;
  }

  /** Events waiting to be taken. */
  get pending(): number {
    return this.#snapshot.length - this.#snapshotTaken + this.#queue.length;
  }

  /** Events this subscriber missed since the beginning. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  /** No more events come; what is pending can still be taken. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * From the next take() on, only events of the new filter come, beginning with its snapshot. What the old filter let
   * in and nobody took is dropped, and counted.
   * @returns events in the snapshot
   */
  setFilter(filter: EventFilter, snapshot: boolean): number {
    this.#filter = filter;
    this.#accepts = compileFilter(filter);
    this.#queue.clear();
    this.#snapshot = snapshot ? this.#parts.snapshotOf(this.#accepts) : [];
    this.#snapshotTaken = 0;
    return this.#snapshot.length;
  }

  /** Called by the hub with every event. */
  offer(published: PublishedEvent): void {
    if (!this.#accepts(published.event)) return;
    this.#queue.push(published);
    this.#parts.wake();
  }

  /** The next event in order, or undefined when there is none now. */
  take(): PublishedEvent | undefined {
    const next = this.#snapshot[this.#snapshotTaken];
    if (next === undefined) return this.#queue.shift();
    this.#snapshotTaken++;
    if (this.#snapshotTaken === this.#snapshot.length) {
      this.#snapshot = [];
      this.#snapshotTaken = 0;
    }
    return next;
  }

  /** Events missed since the last call of this. */
  takeDropped(): number {
    const count = this.#queue.dropped - this.#droppedTold;
    this.#droppedTold = this.#queue.dropped;
    return count;
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#accepts = () => false;
    this.#parts.onClose();
    this.#parts.wake();
  }
}
