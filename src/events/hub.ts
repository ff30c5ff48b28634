/**
 * Where all events of a service meet and from where they go to everyone who asked. Owns subscriptions and the picture
 * of what is live. Making events is event-factory.ts; sockets are websocket-server.ts.
 */
import { type Observable, Subject } from "rxjs";
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import { compileFilter, type EventFilter } from "./event-filter.ts";
import { EventStream } from "./event-stream.ts";
import { type Beginning, EventSubscription } from "./event-subscription.ts";
import { type CallView, LiveState, type ParticipantView } from "./live-state.ts";
import { PublishedEvent } from "./published-event.ts";
import { type ReplayLimits, ReplayRing } from "./replay-ring.ts";
import type { EventKind, TonetapEvent } from "./schema.ts";

export interface HubOptions {
  /** Begins the ids of this run's events, before a `-`: EventFactory.epoch. Without it nobody can resume. */
  readonly epoch?: string;
  /** Default: events of the last minute, 64 MiB. */
  readonly replay?: ReplayLimits;
  readonly clock?: Clock;
}

/** Ends the position of a run that is over: sorts after all of its ids. */
const END = "~";

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
  /**
   * Begin with what came after this position instead: an id of an event, or what a `hello`, `bookmark` or `end` said.
   * What cannot be made up for is a gap, and then a snapshot comes after all.
   */
  readonly after?: string;
  /** What this subscriber may see at all, whatever its filter says. */
  readonly sees?: (event: TonetapEvent) => boolean;
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
  /** All of them, with the calls they are listed under. */
  readonly #subscriptions = new Map<EventSubscription, readonly string[]>();
  /** Those whose filter names calls, by call; and those who hear of all. So an event meets whom it may concern. */
  readonly #byCall = new Map<string, Set<EventSubscription>>();
  readonly #ofAllCalls = new Set<EventSubscription>();
  readonly #epoch: string;
  readonly #ring: ReplayRing;
  readonly #state = new LiveState();
  /** Events on their way to observers: the one being delivered, and what observers published meanwhile. */
  readonly #outgoing: TonetapEvent[] = [];
  #published = 0;
  #position: string;
  #droppedByFormer = 0;
  #closed = false;

  constructor({ epoch = "", replay, clock = systemClock }: HubOptions = {}) {
    this.#epoch = epoch;
    this.#position = `${epoch}-`;
    this.#ring = new ReplayRing(replay ?? { maxAgeMs: 60_000, maxBytes: 64 << 20 }, clock);
    this.events$ = this.#subject.asObservable();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Begins the ids of this run's events, before a `-`. */
  get epoch(): string {
    return this.#epoch;
  }

  /** The latest event's id, or what sorts before all ids of this run: everything up to here has been published. */
  get position(): string {
    return this.#position;
  }

  /** The position of whoever has had everything of this run. To be told when no more events come. */
  get endPosition(): string {
    return `${this.#epoch}-${END}`;
  }

  get stats(): HubStats {
    let dropped = this.#droppedByFormer;
    for (const subscription of this.#subscriptions.keys()) dropped += subscription.dropped;
    return { published: this.#published, dropped, subscribers: this.#subscriptions.size };
  }

  /** Gives `event` to every subscriber whose filter it passes, all in the same order. After close() it does nothing. */
  publish(event: TonetapEvent): void {
    if (this.#closed) return;
    const published = new PublishedEvent(event, this.#published++);
    this.#position = event.id;
    this.#state.apply(published);
    if (event.type === "tonetap.participant.paused" && event.data.reason === "consent-withdrawn") {
      this.#ring.forget(event.data);
    }
    this.#ring.push(published);
    for (const subscription of this.#ofAllCalls) subscription.offer(published);
    // Those whose filter names calls pass no event without one.
    const named = "callId" in event.data ? this.#byCall.get(event.data.callId) : undefined;
    for (const subscription of named ?? []) subscription.offer(published);
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
    return this.begin(options, wake).subscription;
  }

  /** As {@link subscribe}, and says how it begins. @throws TonetapError closed */
  begin(
    options: SubscribeOptions,
    wake: () => void,
  ): { readonly subscription: EventSubscription; readonly beginning: Beginning } {
    if (this.#closed) throw new TonetapError("closed", "the event hub is closed");
    const { filter = {}, queueLimit = 1024, snapshot = true, after, sees } = options;
    assertRange("queueLimit", queueLimit, 1, 65_536);
    const subscription: EventSubscription = new EventSubscription({
      queueLimit,
      wake,
      sees,
      snapshotOf: (accepts) => this.#state.snapshot(accepts),
      onFilter: () => this.#list(subscription),
      onClose: () => {
        this.#unlist(subscription);
        this.#droppedByFormer += subscription.dropped;
      },
    });
    return { subscription, beginning: this.#start(subscription, filter, snapshot, after) };
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

  participant(callId: string, participantId: string): ParticipantView | undefined {
    return this.#state.participant(callId, participantId);
  }

  /** Ends every subscription and completes `events$`. What subscribers have not taken yet they can still take. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const subscription of [...this.#subscriptions.keys()]) subscription.close();
      this.#ring.clear();
      this.#subject.complete();
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(
    subscription: EventSubscription,
    filter: EventFilter,
    snapshot: boolean,
    after: string | undefined,
  ): Beginning {
    if (after === undefined) {
      return { snapshot: subscription.setFilter(filter, snapshot), replay: 0, gap: undefined };
    }
    const own = this.#epoch !== "" && after.startsWith(`${this.#epoch}-`);
    // Of another run: all of this one is news, and whether all of the other was had its end position alone tells.
    const missed = this.#epoch === "" ? undefined : this.#ring.after(own ? after : `${this.#epoch}-`);
    const unknown = own || after.endsWith(`-${END}`) ? undefined : ({ reason: "restart" } as const);
    if (missed !== undefined) {
      return { snapshot: 0, replay: subscription.resume(filter, missed), gap: unknown };
    }
    return {
      snapshot: subscription.setFilter(filter, snapshot),
      replay: 0,
      gap: unknown ?? { reason: "expired" },
    };
  }

  /** Puts it where the events that may pass its filter come by. */
  #list(subscription: EventSubscription): void {
    this.#unlist(subscription);
    const { calls } = subscription.filter;
    const named = calls === undefined || calls === "*" ? undefined : calls;
    this.#subscriptions.set(subscription, named ?? []);
    if (named === undefined) this.#ofAllCalls.add(subscription);
    for (const callId of named ?? []) {
      const others = this.#byCall.get(callId) ?? new Set();
      others.add(subscription);
      this.#byCall.set(callId, others);
    }
  }

  #unlist(subscription: EventSubscription): void {
    for (const callId of this.#subscriptions.get(subscription) ?? []) {
      const others = this.#byCall.get(callId);
      others?.delete(subscription);
      if (others?.size === 0) this.#byCall.delete(callId);
    }
    this.#ofAllCalls.delete(subscription);
    this.#subscriptions.delete(subscription);
  }
}
