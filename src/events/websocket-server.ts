/**
 * Events over WebSocket at `/v1/events` of a given HTTP server: who may connect, and the pulse that finds slow and
 * dead peers. What is said on a connection is websocket-session.ts; docs/events.md tells it to users.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { answerOn } from "../core/bare-http.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import { ClosesOnce } from "../core/lifecycle.ts";
import { OpenConnections } from "../core/open-connections.ts";
import { problemOf } from "../core/problem.ts";
import { checkDoor, type DoorOptions, requestUrl } from "./door.ts";
import { filterFromQuery } from "./event-filter.ts";
import { FlushSchedule } from "./flush-schedule.ts";
import type { EventHub, SubscribeOptions } from "./hub.ts";
import { CLOSE_CODES, EVENTS_PATH, SUBPROTOCOLS } from "./protocol.ts";
import { SubscriberGate } from "./subscriber-gate.ts";
import { type SessionCounts, type SessionLimits, WebSocketSession } from "./websocket-session.ts";

/** How often sessions are looked at, ms. */
const TICK_MS = 1000;

export interface EventSocketOptions extends DoorOptions {
  /** `source` of the hub's events, for `hello`. */
  readonly source: string;
  /** Paths whose upgrades another listener of the server answers; default none. */
  readonly servedElsewhere?: (path: string) => boolean;
  /** Counts and lets in; to be shared with other kinds of subscribers. Default: 1,000 places, everybody. */
  readonly gate?: SubscriberGate;
  /** When to write; to be shared likewise. */
  readonly schedule?: FlushSchedule;
  /** Events kept of each sort for a slow reader. 1–65,536, default 1,024. */
  readonly queueLimit?: number;
  /** Bytes of a message from a client; a longer one closes with 1009. 256–65,536, default 8,192. */
  readonly maxMessageBytes?: number;
  /** Messages a second from a client; more are errors. 1–1,000, default 10. */
  readonly maxMessagesPerSecond?: number;
  /** Errors in a row after which a client is closed with 1008. 1–100, default 8. */
  readonly maxErrors?: number;
  /** Bytes that may wait in our end of a socket before events wait in the queue instead. 1,024–16 Mi, default 64 Ki. */
  readonly highWaterBytes?: number;
  /** ms that a full socket may stay full before it is closed with 1013. 100–600,000, default 10,000. */
  readonly stallTimeoutMs?: number;
  /** ms of silence after which a peer is pinged. 1,000–600,000, default 15,000. */
  readonly pingPeriodMs?: number;
  /** ms that it then has to answer. 1,000–600,000, default 10,000. */
  readonly pongTimeoutMs?: number;
  /** ms for the closing handshake. 0–60,000, default 2,000. */
  readonly closeGraceMs?: number;
  /** Told of every connection that was turned away. */
  readonly onRefused?: (error: TonetapError, request: IncomingMessage) => void;
  readonly clock?: Clock;
}

export interface EventSocketStats extends Readonly<SessionCounts> {
  /** Connections now. */
  readonly subscribers: number;
  /** Connections let in since construction. */
  readonly accepted: number;
  /** Connections turned away: door, filter, limit. */
  readonly refused: number;
}

/** `close()` tells every peer that we go (1001), waits for their goodbyes, cuts off the rest. The HTTP server stays open. */
export class EventSocketServer extends ClosesOnce {
  readonly #server: Server;
  readonly #hub: EventHub;
  readonly #options: EventSocketOptions;
  readonly #limits: SessionLimits;
  readonly #gate: SubscriberGate;
  readonly #schedule: FlushSchedule;
  readonly #clock: Clock;
  readonly #sockets: WebSocketServer;
  readonly #sessions = new OpenConnections<WebSocket, WebSocketSession>();
  readonly #counts: SessionCounts = { errors: 0, dropped: 0, closedAbusive: 0, closedSlow: 0, closedDead: 0 };
  readonly #stopTicking: () => void;
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    this.#upgrade(request, socket, head).catch((thrown: unknown) => {
      const error = TonetapError.from(thrown);
      this.#refused++;
      this.#options.onRefused?.(error, request);
      answerOn(socket, problemOf(error));
    });
  };
  #accepted = 0;
  #refused = 0;

  /** @throws TonetapError invalid-argument */
  constructor(server: Server, hub: EventHub, options: EventSocketOptions) {
    super();
    this.#server = server;
    this.#hub = hub;
    this.#options = options;
    this.#limits = limitsOf(options);
    this.#clock = options.clock ?? systemClock;
    this.#gate = options.gate ?? new SubscriberGate();
    this.#schedule = options.schedule ?? new FlushSchedule(this.#clock);
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compression costs about 300 kB a connection, and events are small.
      perMessageDeflate: false,
      maxPayload: this.#limits.maxMessageBytes,
      autoPong: false,
      handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
    });
    this.#stopTicking = this.#clock.repeat(TICK_MS, () => this.#tick());
    server.on("upgrade", this.#onUpgrade);
  }

  get stats(): EventSocketStats {
    return {
      ...this.#counts,
      subscribers: this.#sessions.size,
      accepted: this.#accepted,
      refused: this.#refused,
    };
  }

  protected async release(): Promise<void> {
    this.#server.off("upgrade", this.#onUpgrade);
    this.#stopTicking();
    await this.#sessions.dismiss(this.#clock, {
      graceMs: this.#limits.closeGraceMs,
      goodbye: (session) => session.close(CLOSE_CODES.goingAway, "the service is stopping"),
      cutOff: (socket) => socket.terminate(),
    });
  }

  #tick(): void {
    for (const session of this.#sessions.sessions()) session.tick();
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { pathname, searchParams } = requestUrl(request);
    if (pathname !== EVENTS_PATH) {
      if (this.#options.servedElsewhere?.(pathname) === true) return;
      throw new TonetapError("not-found", `WebSockets are at ${EVENTS_PATH}`);
    }
    checkDoor(request, this.#options);
    // Whoever is asked to authorize may take its time; a peer that goes meanwhile must not end the process.
    const onError = (): void => void socket.destroy();
    socket.once("error", onError);
    const visitor = await this.#gate.enter({ headers: request.headers, query: searchParams });
    if (socket.destroyed) return visitor.leave();
    socket.once("close", visitor.leave);
    const after = searchParams.get("after");
    searchParams.delete("after");
    const filter = filterFromQuery(searchParams);
    if (this.#hub.closed || this.closing) {
      throw new TonetapError("closed", "the service is stopping");
    }
    socket.off("error", onError);
    this.#sockets.handleUpgrade(request, socket, head, (peer) => {
      this.#accepted++;
      this.#open(peer, socket, {
        filter,
        ...(after === null ? {} : { after }),
        ...(visitor.sees === undefined ? {} : { sees: visitor.sees }),
      });
    });
  }

  #open(socket: WebSocket, pipe: Duplex, wanted: SubscribeOptions): void {
    const session = new WebSocketSession({
      socket,
      pipe,
      hub: this.#hub,
      source: this.#options.source,
      wanted,
      schedule: this.#schedule,
      limits: this.#limits,
      counts: this.#counts,
      clock: this.#clock,
    });
    this.#sessions.add(socket, session);
    socket.on("message", (data, isBinary) => session.message(data as Buffer, isBinary));
    socket.on("ping", (data) => session.pinged(data));
    socket.on("pong", () => session.heard());
    // RFC 6455 violations and messages too long: ws answers with the right close code and closes.
    socket.on("error", () => {
      this.#counts.errors++;
    });
    socket.on("close", () => {
      session.closed();
      this.#sessions.remove(socket);
    });
  }
}

function limitsOf(options: EventSocketOptions): SessionLimits {
  const limit = (
    name: keyof SessionLimits & keyof EventSocketOptions,
    standard: number,
    min: number,
    max: number,
  ): number => {
    const value = options[name] ?? standard;
    assertRange(name, value, min, max);
    return value;
  };
  return {
    queueLimit: limit("queueLimit", 1024, 1, 65_536),
    maxMessageBytes: limit("maxMessageBytes", 8192, 256, 65_536),
    maxMessagesPerSecond: limit("maxMessagesPerSecond", 10, 1, 1000),
    maxErrors: limit("maxErrors", 8, 1, 100),
    highWaterBytes: limit("highWaterBytes", 65_536, 1024, 16 << 20),
    stallTimeoutMs: limit("stallTimeoutMs", 10_000, 100, 600_000),
    pingPeriodMs: limit("pingPeriodMs", 15_000, 1000, 600_000),
    pongTimeoutMs: limit("pongTimeoutMs", 10_000, 1000, 600_000),
    closeGraceMs: limit("closeGraceMs", 2000, 0, 60_000),
  };
}
