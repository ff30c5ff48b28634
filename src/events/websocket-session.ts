/**
 * One WebSocket subscriber: greets it, hears its messages, judges whether it is slow, dead or talking nonsense. What it
 * is sent is event-writer.ts; letting it in is websocket-server.ts.
 */
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { MonotonicMs } from "../core/units.ts";
import { decodeCbor, webSocketFrame } from "./event-encoding.ts";
import { type EventFilter, explain } from "./event-filter.ts";
import type { EventSubscription } from "./event-subscription.ts";
import { EventWriter } from "./event-writer.ts";
import type { FlushSchedule } from "./flush-schedule.ts";
import type { EventHub, SubscribeOptions } from "./hub.ts";
import { openingMessages } from "./opening.ts";
import { CLOSE_CODES, type ControlMessage, clientMessageSchema } from "./protocol.ts";

/** What a session needs of a `ws` socket. */
export interface SessionSocket {
  readonly bufferedAmount: number;
  readonly protocol: string;
  /** 1 while it is open. */
  readonly readyState: number;
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

/** The connection below a `ws` socket. Whole frames may be written to it: ws writes whole frames too. */
export interface SessionPipe {
  readonly writableLength: number;
  write(data: Buffer, sent?: (error?: Error | null) => void): boolean;
}

export interface SessionParts {
  readonly socket: SessionSocket;
  readonly pipe: SessionPipe;
  readonly hub: EventHub;
  readonly source: string;
  /** Filter, where to begin, what it may see. */
  readonly wanted: SubscribeOptions;
  readonly schedule: FlushSchedule;
  readonly limits: SessionLimits;
  readonly counts: SessionCounts;
  readonly clock: Clock;
}

const OPEN = 1;

export class WebSocketSession {
  readonly #parts: SessionParts;
  readonly #subscription: EventSubscription;
  readonly #writer: EventWriter;
  readonly #form: "json" | "cbor";
  /** RFC-conforming CloudEvents peers get events and nothing else. */
  readonly #eventsOnly: boolean;
  #heardMs: MonotonicMs;
  #pingedMs: MonotonicMs;
  /** In this second. */
  #messages = 0;
  /** In a row. */
  #errors = 0;
  #closingSinceMs: MonotonicMs | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { socket, pipe, hub, wanted, limits, counts, clock, schedule } = parts;
    const now = clock.now();
    this.#heardMs = now;
    this.#pingedMs = now;
    this.#eventsOnly = socket.protocol.startsWith("cloudevents.");
    this.#form = socket.protocol.endsWith(".cbor") ? "cbor" : "json";
    const position = hub.position;
    const { subscription, beginning } = hub.begin({ ...wanted, queueLimit: limits.queueLimit }, () =>
      this.#writer.wake(),
    );
    this.#subscription = subscription;
    this.#writer = new EventWriter({
      sink: {
        get bufferedBytes() {
          return pipe.writableLength;
        },
        get closed() {
          return socket.readyState !== OPEN;
        },
        write: (data, sent) => void pipe.write(data, sent),
      },
      form: this.#form,
      hub,
      subscription,
      schedule,
      highWaterBytes: limits.highWaterBytes,
      clock,
      say: (message) => this.#say(message),
      onDropped: (count) => {
        counts.dropped += count;
      },
    });
    const { source } = parts;
    const { maxMessageBytes, maxMessagesPerSecond, queueLimit } = limits;
    const told = { maxMessageBytes, maxMessagesPerSecond, queueLimit };
    const opening = { hub, clock, source, subscription, beginning, position, limits: told };
    for (const message of openingMessages(opening)) this.#say(message);
    this.#writer.pump();
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
      const filter = parseMessage(data, isBinary, this.#form);
      this.#errors = 0;
      const snapshot = this.#subscription.setFilter(filter, true);
      const { position } = this.#parts.hub;
      this.#say({ type: "subscribed", filter, snapshot, position, sequence: this.#subscription.sequence });
      this.#writer.pump();
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
    const { blockedSinceMs } = this.#writer;
    if (blockedSinceMs !== undefined) {
      // No pong can be expected of a peer whose pipe is full: reading is the sign of life here.
      if (now - blockedSinceMs >= limits.stallTimeoutMs) {
        counts.closedSlow++;
        this.close(CLOSE_CODES.tryLater, "too slow: events were not read");
      }
      return;
    }
    this.#writer.tick();
    if (now - this.#heardMs >= limits.pingPeriodMs + limits.pongTimeoutMs) {
      counts.closedDead++;
      socket.terminate();
    } else if (now - this.#heardMs >= limits.pingPeriodMs && now - this.#pingedMs >= limits.pingPeriodMs) {
      this.#pingedMs = now;
      socket.ping();
    }
  }

  /**
   * Begins the closing handshake; whoever does not finish it within the grace time is cut off by tick(). Going away tells
   * everything that is pending first.
   */
  close(code: number, reason: string): void {
    if (this.#closingSinceMs !== undefined) return;
    if (code === CLOSE_CODES.goingAway) this.#writer.finish();
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
    this.#writer.stop();
    for (let gap = this.#subscription.takeGap(); gap !== undefined; gap = this.#subscription.takeGap()) {
      this.#parts.counts.dropped += gap.dropped ?? 0;
    }
    this.#subscription.close();
  }

  #say(message: ControlMessage): void {
    const { socket, pipe, limits, counts } = this.#parts;
    if (this.#eventsOnly || socket.readyState !== OPEN) return;
    pipe.write(webSocketFrame(this.#form, message));
    // Events wait when the socket is full; answers cannot, so a peer that goes on asking and reads none of them goes.
    const isAnswer = message.type === "subscribed" || message.type === "error";
    if (!isAnswer || pipe.writableLength < 2 * limits.highWaterBytes) return;
    if (this.#closingSinceMs !== undefined) return;
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
function parseMessage(data: Buffer, isBinary: boolean, form: "json" | "cbor"): EventFilter {
  if (isBinary && form === "json") {
    throw new TonetapError("protocol", "binary messages are not understood: send JSON as text");
  }
  const result = clientMessageSchema.safeParse(isBinary ? decodeCbor(data) : parseJson(data));
  if (!result.success) throw new TonetapError("protocol", explain(result.error));
  return result.data.filter;
}

function parseJson(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString());
  } catch (error) {
    throw new TonetapError("protocol", "the message is not JSON", { cause: error });
  }
}
