/**
 * One WebSocket subscriber: sends what its subscription holds, as fast as it reads; hears its messages; judges whether
 * it is slow, dead or talking nonsense. Letting it in is websocket-server.ts.
 */
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { MonotonicMs } from "../core/units.ts";
import { type EventFilter, explain } from "./event-filter.ts";
import type { EventSubscription } from "./event-subscription.ts";
import type { EventHub } from "./hub.ts";
import { CLOSE_CODES, type ControlMessage, clientMessageSchema, PROTOCOL } from "./protocol.ts";

/** What a session needs of a `ws` socket. */
export interface SessionSocket {
  readonly bufferedAmount: number;
  readonly protocol: string;
  send(data: Buffer | string, options: { readonly binary: boolean }, sent?: (error?: Error) => void): void;
  ping(): void;
  pong(data: Buffer): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface SessionLimits {
  readonly queueLimit: number;
  readonly maxMessageBytes: number;
  readonly maxMessagesPerSecond: number;
  readonly maxErrors: number;
  readonly highWaterBytes: number;
  readonly stallTimeoutMs: number;
  readonly pingPeriodMs: number;
  readonly pongTimeoutMs: number;
  readonly closeGraceMs: number;
}

/** What became of sessions, counted since the server was made. */
export interface SessionCounts {
  /** Messages from clients that were not understood or came too fast. */
  errors: number;
  /** Events left out for slow readers. */
  dropped: number;
  /** Connections closed with 1008 for too many errors. */
  closedAbusive: number;
  /** Connections closed with 1013 for not reading. */
  closedSlow: number;
  /** Connections cut because the peer no longer answered. */
  closedDead: number;
}

export interface SessionParts {
  readonly socket: SessionSocket;
  readonly hub: EventHub;
  readonly source: string;
  readonly filter: EventFilter;
  readonly limits: SessionLimits;
  readonly counts: SessionCounts;
  readonly clock: Clock;
}

const TEXT = { binary: false } as const;

export class WebSocketSession {
  readonly #parts: SessionParts;
  readonly #subscription: EventSubscription;
  /** RFC-conforming CloudEvents peers get events and nothing else. */
  readonly #eventsOnly: boolean;
  /** Since when the socket has been full; undefined while it takes what it is given. */
  #blockedSinceMs: MonotonicMs | undefined;
  #heardMs: MonotonicMs;
  #pingedMs: MonotonicMs;
  /** In this second. */
  #messages = 0;
  /** In a row. */
  #errors = 0;
  #closingSinceMs: MonotonicMs | undefined;
  readonly #onSent = (error?: Error): void => this.#sent(error);

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const now = parts.clock.now();
    this.#heardMs = now;
    this.#pingedMs = now;
    this.#eventsOnly = parts.socket.protocol === "cloudevents.json";
    const { filter, limits } = parts;
    this.#subscription = parts.hub.subscribe({ filter, queueLimit: limits.queueLimit }, () => this.#pump());
    this.#say({
      type: "hello",
      protocol: PROTOCOL,
      source: parts.source,
      time: new Date(parts.clock.wall()).toISOString(),
      filter,
      snapshot: this.#subscription.pending,
      limits: {
        maxMessageBytes: limits.maxMessageBytes,
        maxMessagesPerSecond: limits.maxMessagesPerSecond,
        queueLimit: limits.queueLimit,
      },
    });
    this.#pump();
  }

  /** Something came from the peer that shows it alive. */
  heard(): void {
    this.#heardMs = this.#parts.clock.now();
  }

  /** A peer that pings and does not read gets no pongs: nothing of ours may pile up. */
  pinged(data: Buffer): void {
    this.heard();
    const { socket, limits } = this.#parts;
    if (socket.bufferedAmount < limits.highWaterBytes) socket.pong(data);
  }

  message(data: Buffer, isBinary: boolean): void {
    if (this.#closingSinceMs !== undefined) return;
    this.heard();
    if (++this.#messages > this.#parts.limits.maxMessagesPerSecond) {
      this.#reject(
        new TonetapError(
          "overloaded",
          `at most ${this.#parts.limits.maxMessagesPerSecond} messages a second`,
        ),
      );
      return;
    }
    try {
      const filter = parseMessage(data, isBinary);
      this.#errors = 0;
      const snapshot = this.#subscription.setFilter(filter, true);
      this.#say({ type: "subscribed", filter, snapshot });
      this.#pump();
    } catch (error) {
      this.#reject(TonetapError.from(error));
    }
  }

  /** Called about once a second. */
  tick(): void {
    const { clock, limits, socket, counts } = this.#parts;
    const now = clock.now();
    this.#messages = 0;
    if (this.#closingSinceMs !== undefined) {
      if (now - this.#closingSinceMs >= limits.closeGraceMs) socket.terminate();
      return;
    }
    if (this.#blockedSinceMs !== undefined) {
      // No pong can be expected of a peer whose pipe is full: reading is the sign of life here.
      if (now - this.#blockedSinceMs >= limits.stallTimeoutMs) {
        counts.closedSlow++;
        this.close(CLOSE_CODES.tryLater, "too slow: events were not read");
      }
      return;
    }
    if (now - this.#heardMs >= limits.pingPeriodMs + limits.pongTimeoutMs) {
      counts.closedDead++;
      socket.terminate();
    } else if (now - this.#heardMs >= limits.pingPeriodMs && now - this.#pingedMs >= limits.pingPeriodMs) {
      this.#pingedMs = now;
      socket.ping();
    }
  }

  /** Begins the closing handshake; whoever does not finish it within the grace time is cut off by tick(). */
  close(code: number, reason: string): void {
    if (this.#closingSinceMs !== undefined) return;
    this.#closingSinceMs = this.#parts.clock.now();
    this.#release();
    this.#parts.socket.close(code, reason);
  }

  /** The socket is gone. */
  closed(): void {
    this.#closingSinceMs ??= this.#parts.clock.now();
    this.#release();
  }

  #release(): void {
    this.#parts.counts.dropped += this.#subscription.takeDropped();
    this.#subscription.close();
  }

  /** Sends until the subscription is empty or the socket is full. */
  #pump(): void {
    const { socket, limits, counts } = this.#parts;
    while (this.#blockedSinceMs === undefined && this.#closingSinceMs === undefined) {
      const dropped = this.#subscription.takeDropped();
      if (dropped > 0) {
        counts.dropped += dropped;
        this.#say({ type: "gap", dropped });
      }
      const next = this.#subscription.take();
      if (next === undefined) return;
      const { json } = next;
      const full = socket.bufferedAmount + json.length >= limits.highWaterBytes;
      if (full) this.#blockedSinceMs = this.#parts.clock.now();
      socket.send(json, TEXT, full ? this.#onSent : undefined);
    }
  }

  /** The event that filled the socket has been handed to the kernel, and so has everything before it. */
  #sent(error: Error | undefined): void {
    this.#blockedSinceMs = undefined;
    // An error here means that the socket is gone: its close event follows and ends the session.
    if (!(error instanceof Error)) this.#pump();
  }

  #say(message: ControlMessage): void {
    if (this.#eventsOnly) return;
    const { socket, limits, counts } = this.#parts;
    socket.send(JSON.stringify(message), TEXT);
    // Events wait when the socket is full; answers cannot, so a peer that goes on asking and reads none of them goes.
    if (socket.bufferedAmount < 2 * limits.highWaterBytes || this.#closingSinceMs !== undefined) return;
    counts.closedSlow++;
    this.close(CLOSE_CODES.tryLater, "too slow: answers were not read");
  }

  #reject({ code, message }: TonetapError): void {
    const { counts, limits } = this.#parts;
    counts.errors++;
    this.#say({ type: "error", code, message });
    if (++this.#errors >= limits.maxErrors) {
      counts.closedAbusive++;
      this.close(CLOSE_CODES.policy, "too many messages that were not understood");
    }
  }
}

/** @throws TonetapError protocol */
function parseMessage(data: Buffer, isBinary: boolean): EventFilter {
  if (isBinary) throw new TonetapError("protocol", "binary messages are not understood: send JSON as text");
  let value: unknown;
  try {
    value = JSON.parse(data.toString());
  } catch (error) {
    throw new TonetapError("protocol", "the message is not JSON", { cause: error });
  }
  const result = clientMessageSchema.safeParse(value);
  if (!result.success) throw new TonetapError("protocol", explain(result.error));
  return result.data.filter;
}
