/**
 * A connection to a service's events that keeps itself alive. Owns reconnecting, filters and handlers; the protocol is
 * docs/events.md. Imports types only, so that a browser loads this folder and nothing else.
 */
import type { Clock } from "../core/clock.ts";
import type { EventFilter } from "../events/event-filter.ts";
import type { ControlMessage, GapReason } from "../events/protocol.ts";
import type { EventKind, EventOf, TonetapEvent } from "../events/schema.ts";
import { Inbox } from "./inbox.ts";

export interface ConnectOptions {
  /** Which events. Default: all. */
  readonly filter?: EventFilter;
  /** An API key or a token, where the service asks for one; a function is asked again at each attempt. */
  readonly token?: string | (() => string);
  /** Closes the connection. */
  readonly signal?: AbortSignal;
  /** Events kept for a `for await` loop that is slower than they come; the oldest go. Default 10,000. */
  readonly queueLimit?: number;
  /** ms before the first attempt to reconnect; each further one waits twice as long. Default 250. */
  readonly minDelayMs?: number;
  /** ms between attempts at most. Default 10,000. */
  readonly maxDelayMs?: number;
  /** For tests: where waiting happens. */
  readonly clock?: Pick<Clock, "schedule">;
}

export type ConnectionStatus =
  /** `attempt` counts from 1 since the connection was last open. */
  | { readonly state: "connecting"; readonly attempt: number }
  /**
   * Events come; `source` is the service's, `epoch` names its run. `resumed`: the next `replay` events are what was missed,
   * and what you know is right. Otherwise the next `snapshot` events tell what is live now: forget what you knew. You may
   * have had some of them before, with the same id.
   */
  | {
      readonly state: "open";
      readonly source: string;
      readonly epoch: string;
      readonly resumed: boolean;
      readonly snapshot: number;
      readonly replay: number;
    }
  /** The connection broke, or never was; the next attempt is in `delayMs` and goes on where this one was. */
  | { readonly state: "waiting"; readonly delayMs: number; readonly code: number; readonly reason: string }
  /** For good: by close(), by the signal, or because the service will not have us (1008). */
  | { readonly state: "closed"; readonly code: number; readonly reason: string };

/** Events are missing, and why: docs/events.md. `dropped` is absent where nobody knows how many. */
export interface EventGap {
  readonly reason: GapReason;
  readonly dropped?: number;
}

/** What `on()` can listen to. */
export type ConnectionEvents = { readonly [K in EventKind]: EventOf<K> } & {
  /** Every event. */
  readonly event: TonetapEvent;
  readonly status: ConnectionStatus;
  readonly gap: EventGap;
  /** The service did not understand a message of ours. */
  readonly error: { readonly code: string; readonly message: string };
};

/** The part of an Observable's observer that is used here (tc39/proposal-observable). */
export interface EventObserver {
  readonly next?: (event: TonetapEvent) => void;
  readonly complete?: () => void;
}

const SUBPROTOCOL = "tonetap.v1";
const NORMAL_CLOSURE = 1000;
/** RFC 6455 §7.4.1: policy violation. Trying again would end the same way. */
const POLICY_VIOLATION = 1008;

/** Not core/clock.ts: a client waiting to reconnect must keep a Node process alive, and browsers have no unref(). */
const timers: Pick<Clock, "schedule"> = {
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * Connects and stays connected until closed.
 * @param url of the service (`http://127.0.0.1:8080`) or of its events (`ws://127.0.0.1:8080/v1/events`)
 * @throws TypeError for something that is no URL, SyntaxError for one that is neither http(s) nor ws(s)
 */
export function connect(url: string | URL, options: ConnectOptions = {}): EventConnection {
  return new EventConnection(url, options);
}

export class EventConnection implements AsyncIterable<TonetapEvent> {
  readonly #url: URL;
  readonly #options: ConnectOptions;
  readonly #handlers = new Map<keyof ConnectionEvents, Set<(value: never) => void>>();
  readonly #inboxes = new Set<Inbox>();
  /** Keeps what comes before the first loop begins; given up when a handler of events shows that there is none. */
  #early: Inbox | undefined;
  readonly #onAbort = (): void => this.close("aborted");
  #filter: EventFilter;
  #socket: WebSocket | undefined;
  #status: ConnectionStatus = { state: "connecting", attempt: 1 };
  #failures = 0;
  #cancelRetry: () => void = () => undefined;
  /** The filter in the URL of the socket now in use. */
  #asked: EventFilter = {};
  /** Everything up to here has been had: where the next connection goes on. "": nowhere, it begins with a snapshot. */
  #position = "";
  /** What becomes the position when the snapshot is whole. */
  #nextPosition = "";
  #snapshotLeft = 0;
  /** Filters on their way to the service: what comes before they are answered is not to be gone on from. */
  #changing = 0;

  constructor(url: string | URL, options: ConnectOptions = {}) {
    this.#url = eventsUrl(url);
    this.#options = options;
    this.#filter = options.filter ?? {};
    this.#early = this.#addInbox();
    if (options.signal?.aborted === true) this.close("aborted");
    else {
      options.signal?.addEventListener("abort", this.#onAbort, { once: true });
      this.#open();
    }
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  get filter(): EventFilter {
    return this.#filter;
  }

  /**
   * Calls `handler` with every event (`"event"`), those of one kind (`"emotion"`), or news of the connection
   * (`"status"`, `"gap"`, `"error"`).
   * @returns stops it
   */
  on<N extends keyof ConnectionEvents>(name: N, handler: (value: ConnectionEvents[N]) => void): () => void {
    if (name !== "status" && name !== "gap" && name !== "error") this.#dropEarly();
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers);
    handlers.add(handler);
    return () => {
      handlers.delete(handler);
    };
  }

  /** Changes the filter; the service answers with a snapshot of what passes it. */
  subscribe(filter: EventFilter): void {
    this.#filter = filter;
    // What the old filter kept back cannot be gone on from.
    this.#position = "";
    if (this.#status.state !== "open") return;
    this.#changing++;
    this.#socket?.send(JSON.stringify({ type: "subscribe", filter }));
  }

  /**
   * For RxJS `from(connection)` and others who know this symbol: events from the subscription on; completes when the
   * connection is closed.
   */
  "@@observable"() {
    return {
      subscribe: (observer: EventObserver | ((event: TonetapEvent) => void)) => {
        const { next, complete } = typeof observer === "function" ? { next: observer } : bound(observer);
        const offs = [
          this.on("event", (event) => next?.(event)),
          this.on("status", ({ state }) => {
            if (state === "closed") complete?.();
          }),
        ];
        if (this.#status.state === "closed") complete?.();
        return {
          unsubscribe: () => {
            for (const off of offs) off();
          },
        };
      },
      "@@observable"() {
        return this;
      },
    };
  }

  /** Events across reconnects, until the connection is closed. The first loop gets them from connect() on. */
  [Symbol.asyncIterator](): Inbox {
    const early = this.#early;
    this.#early = undefined;
    return early ?? this.#addInbox();
  }

  /** Idempotent. Loops end, handlers fall silent. */
  close(reason = "closed by the client"): void {
    this.#finish(NORMAL_CLOSURE, reason);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #addInbox(): Inbox {
    const inbox = new Inbox(this.#options.queueLimit ?? 10_000, (ended) => this.#inboxes.delete(ended));
    if (this.#status.state === "closed") inbox.end();
    else this.#inboxes.add(inbox);
    return inbox;
  }

  #dropEarly(): void {
    this.#early?.end();
    this.#early = undefined;
  }

  #open(): void {
    this.#setStatus({ state: "connecting", attempt: this.#failures + 1 });
    if (this.#status.state === "closed") return;
    this.#asked = this.#filter;
    const url = new URL(this.#url);
    if (Object.keys(this.#filter).length > 0) url.searchParams.set("filter", JSON.stringify(this.#filter));
    if (this.#position !== "") url.searchParams.set("after", this.#position);
    this.#changing = 0;
    const { token } = this.#options;
    const shown = typeof token === "function" ? token() : token;
    // Browsers let nobody set a header here; a query would stand in logs.
    const socket = new WebSocket(url, shown === undefined ? SUBPROTOCOL : [SUBPROTOCOL, `bearer.${shown}`]);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#receive(String(data));
    });
    // Of a failed attempt the close event (1006) tells all that there is to know.
    socket.addEventListener("close", ({ code, reason }) => {
      if (socket === this.#socket) this.#lost(code, reason);
    });
  }

  #receive(text: string): void {
    const message = JSON.parse(text) as TonetapEvent | ControlMessage;
    if ("specversion" in message) this.#receiveEvent(message);
    else this.#receiveControl(message);
  }

  #receiveEvent(event: TonetapEvent): void {
    if (this.#snapshotLeft > 0) {
      this.#snapshotLeft--;
      if (this.#snapshotLeft === 0) this.#goOnFrom(this.#nextPosition);
    } else {
      // The service sends nothing twice; should a proxy or an older one do it, it stays here.
      if (event.id <= this.#position && sameEpoch(event.id, this.#position)) return;
      this.#goOnFrom(event.id);
    }
    for (const inbox of this.#inboxes) inbox.push(event);
    this.#tell("event", event);
    this.#tell(event.type.slice("tonetap.".length) as EventKind, event as never);
  }

  #receiveControl(message: ControlMessage): void {
    switch (message.type) {
      case "hello": {
        this.#failures = 0;
        const { source, epoch, snapshot, replay } = message;
        const resumed = this.#position !== "" && snapshot === 0;
        if (!resumed) this.#expect(snapshot, message.position);
        this.#setStatus({ state: "open", source, epoch, resumed, snapshot, replay });
        // It may have changed while the connection was opening.
        if (this.#filter !== this.#asked) this.subscribe(this.#filter);
        return;
      }
      case "subscribed":
        this.#changing--;
        this.#expect(message.snapshot, message.position);
        return;
      case "bookmark":
      case "end":
        this.#goOnFrom(message.position);
        return;
      case "gap":
        this.#tell("gap", message);
        return;
      case "error":
        this.#tell("error", message);
        return;
      default:
        // A newer service may say more.
        message satisfies never;
    }
  }

  /** A snapshot comes; only when it is whole can it be gone on from. */
  #expect(snapshot: number, position: string): void {
    this.#position = "";
    this.#nextPosition = position;
    this.#snapshotLeft = snapshot;
    if (snapshot === 0) this.#goOnFrom(position);
  }

  #goOnFrom(position: string): void {
    if (this.#changing === 0) this.#position = position;
  }

  #lost(code: number, reason: string): void {
    this.#socket = undefined;
    this.#snapshotLeft = 0;
    if (code === POLICY_VIOLATION) {
      this.#finish(code, reason);
      return;
    }
    const { minDelayMs = 250, maxDelayMs = 10_000, clock = timers } = this.#options;
    // Half of the wait is by chance, so that the clients of a service that restarts do not come all at once.
    const fullMs = Math.min(maxDelayMs, minDelayMs * 2 ** this.#failures++);
    const delayMs = Math.round(fullMs * (0.5 + Math.random() / 2));
    this.#cancelRetry = clock.schedule(delayMs, () => this.#open());
    this.#setStatus({ state: "waiting", delayMs, code, reason });
  }

  #finish(code: number, reason: string): void {
    if (this.#status.state === "closed") return;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#cancelRetry();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    socket?.close(NORMAL_CLOSURE);
    this.#setStatus({ state: "closed", code, reason });
    for (const inbox of [...this.#inboxes]) inbox.end();
    this.#handlers.clear();
  }

  #setStatus(status: ConnectionStatus): void {
    this.#status = status;
    this.#tell("status", status);
  }

  #tell<N extends keyof ConnectionEvents>(name: N, value: ConnectionEvents[N]): void {
    for (const handler of this.#handlers.get(name) ?? [])
      (handler as (value: ConnectionEvents[N]) => void)(value);
  }
}

// Libraries that were loaded after a polyfill of Symbol.observable know the symbol, the others the text.
const { observable } = Symbol as { readonly observable?: symbol };
if (typeof observable === "symbol") {
  Object.defineProperty(EventConnection.prototype, observable, {
    value: EventConnection.prototype["@@observable"],
  });
}

/** `http` becomes `ws`; a bare service address gets the path of its events. */
function eventsUrl(url: string | URL): URL {
  const result = new URL(url);
  result.protocol = result.protocol.replace(/^http/, "ws");
  if (result.pathname === "/") result.pathname = "/v1/events";
  return result;
}

/** Ids of one run of a service sort in the order of its events; a new run's are others. */
const sameEpoch = (a: string, b: string): boolean => a.split("-", 1)[0] === b.split("-", 1)[0];

function bound(observer: EventObserver): EventObserver {
  return {
    next: (event) => observer.next?.(event),
    complete: () => observer.complete?.(),
  };
}
