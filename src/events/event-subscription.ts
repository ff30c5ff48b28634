/**
 * One subscriber's end of the hub: its filter, its queue, its count, what it missed. The hub is hub.ts; who takes is up
 * to the owner.
 */
import { compileFilter, type EventFilter } from "./event-filter.ts";
import { EventQueue } from "./event-queue.ts";
import type { GapReason } from "./protocol.ts";
import type { PublishedEvent } from "./published-event.ts";
import type { TonetapEvent } from "./schema.ts";

/** Events left out, and why. */
export interface Gap {
  readonly reason: GapReason;
  /** Absent where nobody knows. */
  readonly dropped?: number;
}

/** How a subscription, or its new filter, begins. */
export interface Beginning {
  /** Events that tell what is live; they come first. */
  readonly snapshot: number;
  /** Events that were missed while away; they come first. A snapshot or these, never both. */
  readonly replay: number;
  /** What could not be made up for. */
  readonly gap: Gap | undefined;
}

interface SubscriptionParts {
  readonly queueLimit: number;
  readonly wake: () => void;
  readonly sees: ((event: TonetapEvent) => boolean) | undefined;
  readonly snapshotOf: (accepts: (event: TonetapEvent) => boolean) => PublishedEvent[];
  readonly onFilter: (subscription: EventSubscription) => void;
  readonly onClose: () => void;
}

export class EventSubscription {
  readonly #parts: SubscriptionParts;
  readonly #queue: EventQueue;
  #filter: EventFilter = {};
  #accepts: (event: TonetapEvent) => boolean = () => false;
  /** Snapshot or replay. Bounded by what is live and by the ring, not by the queue: it is whole. */
  #backlog: readonly PublishedEvent[] = [];
  #backlogTaken = 0;
  #backlogIsReplay = false;
  #taken = 0;
  #lostTold = 0;
  #coalescedTold = 0;
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
    return this.#backlog.length - this.#backlogTaken + this.#queue.length;
  }

  /** Events this subscriber missed since the beginning. */
  get dropped(): number {
    return this.#queue.lost + this.#queue.coalesced;
  }

  /**
   * Events, taken or told as missed, since the beginning; those of snapshots are not counted. A subscriber that counts
   * them too has the same number.
   */
  get sequence(): number {
    return this.#taken + this.#lostTold + this.#coalescedTold;
  }

  /** No more events come; what is pending can still be taken. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * From the next take() on, only events of the new filter come, beginning with its snapshot. What the old filter let
   * in and nobody took is lost, and counted.
   * @returns events in the snapshot
   */
  setFilter(filter: EventFilter, snapshot: boolean): number {
    this.#queue.clear();
    this.#adopt(filter);
    this.#backlog = snapshot ? this.#parts.snapshotOf(this.#accepts) : [];
    this.#backlogTaken = 0;
    this.#backlogIsReplay = false;
    return this.#backlog.length;
  }

  /** Begins with what was missed instead of a snapshot. @returns events that pass the filter */
  resume(filter: EventFilter, missed: readonly PublishedEvent[]): number {
    this.#adopt(filter);
    this.#backlog = missed.filter(({ event }) => this.#accepts(event));
    this.#backlogIsReplay = true;
    return this.#backlog.length;
  }

  /** Called by the hub with every event. */
  offer(published: PublishedEvent): void {
    if (!this.#accepts(published.event)) return;
    this.#queue.push(published);
    this.#parts.wake();
  }

  /** The next event in order, or undefined when there is none now. */
  take(): PublishedEvent | undefined {
    const next = this.#backlog[this.#backlogTaken];
    if (next === undefined) {
      const live = this.#queue.shift();
      if (live !== undefined) this.#taken++;
      return live;
    }
    this.#backlogTaken++;
    if (this.#backlogIsReplay) this.#taken++;
    if (this.#backlogTaken === this.#backlog.length) {
      this.#backlog = [];
      this.#backlogTaken = 0;
    }
    return next;
  }

  /** What was missed since the last call of this. */
  takeGap(): Gap | undefined {
    const lost = this.#queue.lost - this.#lostTold;
    if (lost > 0) {
      this.#lostTold += lost;
      return { reason: "slow", dropped: lost };
    }
    const coalesced = this.#queue.coalesced - this.#coalescedTold;
    if (coalesced === 0) return undefined;
    this.#coalescedTold += coalesced;
    return { reason: "coalesced", dropped: coalesced };
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#accepts = () => false;
    this.#parts.onClose();
    this.#parts.wake();
  }

  #adopt(filter: EventFilter): void {
    const { sees } = this.#parts;
    const passes = compileFilter(filter);
    this.#filter = filter;
    this.#accepts = sees === undefined ? passes : (event) => passes(event) && sees(event);
    this.#parts.onFilter(this);
  }
}
