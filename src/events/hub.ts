/**
 * Where all events of a service meet and from where they go to everyone who asked. Owns subscriptions and the picture
 * of what is live. Making events is event-factory.ts; sockets are websocket-server.ts.
 */
import { type Observable, Subject } from "rxjs";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import { compileFilter, type EventFilter } from "./event-filter.ts";
import { EventStream } from "./event-stream.ts";
import { EventSubscription } from "./event-subscription.ts";
import { type CallView, LiveState } from "./live-state.ts";
import { PublishedEvent } from "./published-event.ts";
import type { EventKind, TonetapEvent } from "./schema.ts";

export interface SubscribeOptions {
  /** Default: everything. */
  readonly filter?: EventFilter;
  /**
   * Events kept of each sort (see EventQueue) when they are not taken. 1–65,536, default 1,024: a minute of 8
   * participants. Beyond it the oldest go, counted in `dropped`.
   */
  readonly queueLimit?: number;
  /** Begin with the latest events of what is live. Default true. */
  readonly snapshot?: boolean;
}

export interface StreamOptions<K extends EventKind = EventKind> extends SubscribeOptions {
  /** Default: everything. The kinds it names are the kinds the stream is typed with. */
  readonly filter?: EventFilter & { readonly kinds?: readonly K[] | "*" };
  /** Ends the stream, without an error. */
  readonly signal?: AbortSignal;
}

export interface HubStats {
  /** Events published since construction. */
  readonly published: number;
  /** Events that subscribers missed since construction, because they did not take them in time. */
  readonly dropped: number;
  /** Subscriptions now, WebSocket and in-process; observers of `events$` are not counted. */
  readonly subscribers: number;
}

export class EventHub implements Closable, AsyncDisposable {
  /**
   * Every event, at once, from the subscription on. Nothing waits and nothing is lost: an observer that is slow makes
   * the service slow. Completes when the hub closes.
   */
  readonly events$: Observable<TonetapEvent>;
  readonly #subject = new Subject<TonetapEvent>();
  readonly #subscriptions = new Set<EventSubscription>();
  readonly #state = new LiveState();
  /** Events on their way to observers: the one being delivered, and what observers published meanwhile. */
  readonly #outgoing: TonetapEvent[] = [];
  #published = 0;
  #droppedByFormer = 0;
  #closed = false;

  constructor() {
    this.events$ = this.#subject.asObservable();
  }

  get closed(): boolean {
    return this.#closed;
  }

  get stats(): HubStats {
    let dropped = this.#droppedByFormer;
    for (const subscription of this.#subscriptions) dropped += subscription.dropped;
    return { published: this.#published, dropped, subscribers: this.#subscriptions.size };
  }

  /** Gives `event` to every subscriber whose filter it passes, all in the same order. After close() it does nothing. */
  publish(event: TonetapEvent): void {
    if (this.#closed) return;
    const published = new PublishedEvent(event, this.#published++);
    this.#state.apply(published);
    for (const subscription of this.#subscriptions) subscription.offer(published);
    this.#outgoing.push(event);
    // An observer published this: its turn is when everyone has seen what that observer was told.
    if (this.#outgoing.length > 1) return;
    for (let next = this.#outgoing[0]; next !== undefined; next = this.#outgoing[0]) {
      this.#subject.next(next);
      this.#outgoing.shift();
    }
  }

  /**
   * A queue of events to take from; `wake` is called, synchronously, whenever it may have become non-empty and when the
   * hub closes. For an async iterable use {@link stream}.
   * @throws TonetapError closed
   */
  subscribe(options: SubscribeOptions, wake: () => void): EventSubscription {
    if (this.#closed) throw new TonetapError("closed", "the event hub is closed");
    const { filter = {}, queueLimit = 1024, snapshot = true } = options;
    assertRange("queueLimit", queueLimit, 1, 65_536);
    const subscription = new EventSubscription({
      queueLimit,
      wake,
      snapshotOf: (accepts) => this.#state.snapshot(accepts),
      onClose: () => {
        if (this.#subscriptions.delete(subscription)) this.#droppedByFormer += subscription.dropped;
      },
    });
    subscription.setFilter(filter, snapshot);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Events as an async iterable, from now on: what comes before the first `next()` is kept, up to `queueLimit`. */
  stream<K extends EventKind = EventKind>(options: StreamOptions<K> = {}): EventStream<K> {
    return new EventStream((wake) => this.subscribe(options, wake), options.signal);
  }

  /** The latest events of what is live, oldest first. */
  snapshot(filter: EventFilter = {}): TonetapEvent[] {
    return this.#state.snapshot(compileFilter(filter)).map((published) => published.event);
  }

  /** The calls and participants that are live. */
  calls(): CallView[] {
    return this.#state.calls();
  }

  /** Ends every subscription and completes `events$`. What subscribers have not taken yet they can still take. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const subscription of [...this.#subscriptions]) subscription.close();
      this.#subject.complete();
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
