/**
 * Events as server-sent events (WHATWG HTML §9.2) at `/v1/events`, for clients without WebSocket: who may listen, and
 * the pulse. What is sent is event-writer.ts. A browser's EventSource comes back by itself with Last-Event-ID.
 */
import { z } from "zod";
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import { filterFromQuery } from "./event-filter.ts";
import { EventWriter } from "./event-writer.ts";
import { FlushSchedule } from "./flush-schedule.ts";
import { type HttpRequest, type HttpResponse, type HttpStream, problemResponse } from "./http-route.ts";
import type { HttpServer } from "./http-server.ts";
import type { EventHub, SubscribeOptions } from "./hub.ts";
import { openingMessages } from "./opening.ts";
import { operation } from "./operation.ts";
import { type ControlMessage, EVENTS_PATH } from "./protocol.ts";
import { SubscriberGate } from "./subscriber-gate.ts";

const TICK_MS = 1000;
/** A comment so often tells proxies and peers that the connection lives. */
const HEARTBEAT_MS = 15_000;
/** What a browser waits before it comes back. */
const RETRY_MS = 1000;
const HEARTBEAT = Buffer.from(":\n\n");

export interface EventSourceOptions {
  readonly source: string;
  readonly gate?: SubscriberGate;
  readonly schedule?: FlushSchedule;
  /** Events kept of each sort for a slow reader. Default 1,024. */
  readonly queueLimit?: number;
  /** Bytes that may wait in our end of a connection. Default 64 Ki. */
  readonly highWaterBytes?: number;
  /** ms that a full connection may stay full before it is ended. Default 10,000. */
  readonly stallTimeoutMs?: number;
  readonly clock?: Clock;
}

/** The query of both kinds of subscribers, read by filterFromQuery(). */
const subscriptionQuery = z.object({
  call: z.string().optional().describe("Call ids, separated by commas."),
  participant: z.string().optional().describe("Participant ids, separated by commas."),
  kinds: z.string().optional().describe("Kinds of events, separated by commas."),
  label: z.string().optional().describe("Labels of expressions, separated by commas."),
  minConfidence: z.string().optional().describe("Of expressions, 0–1."),
  filter: z.string().optional().describe("The filter as JSON, instead of the others."),
  after: z.string().optional().describe("A position: begin with what came after it. Or `Last-Event-ID`."),
});

export const listenToEvents = operation({
  id: "listenToEvents",
  tag: "events",
  method: "GET",
  path: EVENTS_PATH,
  access: "public",
  // The gate asks who it is.
  asks: "events:read",
  summary: "Events as they happen",
  description:
    "Server-sent events. Asked to upgrade it is a WebSocket: /docs/asyncapi.json describes what is said there, and every event.",
  query: subscriptionQuery,
  checksItself: true,
  answers: {
    200: { meaning: "Goes on until one side ends it.", contentType: "text/event-stream", schema: z.string() },
  },
  problems: [406, "overloaded", "closed"],
});

interface Listener {
  readonly tick: () => void;
  readonly end: () => void;
}

export class EventSourceServer implements Closable {
  readonly #hub: EventHub;
  readonly #options: EventSourceOptions;
  readonly #gate: SubscriberGate;
  readonly #schedule: FlushSchedule;
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  readonly #stopTicking: () => void;
  #closed = false;

  constructor(http: HttpServer, hub: EventHub, options: EventSourceOptions) {
    this.#hub = hub;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#gate = options.gate ?? new SubscriberGate();
    this.#schedule = options.schedule ?? new FlushSchedule(this.#clock);
    this.#stopTicking = this.#clock.repeat(TICK_MS, () => {
      for (const listener of this.#listeners) listener.tick();
    });
    http.serve(listenToEvents, (request) => this.#answer(request));
  }

  /** Listeners now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Tells everyone what is pending, then ends their responses. */
  close(): Promise<void> {
    this.#closed = true;
    this.#stopTicking();
    for (const listener of [...this.#listeners]) listener.end();
    return Promise.resolve();
  }

  async #answer(request: HttpRequest): Promise<HttpResponse> {
    if (!accepts(request.headers.accept)) {
      const error = new TonetapError(
        "invalid-argument",
        `events come as text/event-stream or over WebSocket (ws://…${EVENTS_PATH})`,
      );
      return problemResponse(error, 406);
    }
    const query = new URLSearchParams(request.query);
    const visitor = await this.#gate.enter({ headers: request.headers, query });
    try {
      const header = request.headers["last-event-id"];
      const after = (typeof header === "string" ? header : undefined) ?? query.get("after") ?? undefined;
      query.delete("after");
      const filter = filterFromQuery(query);
      if (this.#closed || this.#hub.closed) throw new TonetapError("closed", "the service is stopping");
      const wanted: SubscribeOptions = {
        filter,
        ...(after === undefined || after === "" ? {} : { after }),
        ...(visitor.sees === undefined ? {} : { sees: visitor.sees }),
      };
      return {
        headers: {
          "content-type": "text/event-stream",
          "cache-control": "no-store",
          // nginx would gather what should go at once.
          "x-accel-buffering": "no",
        },
        stream: (out) => this.#listen(out, wanted, visitor.leave),
      };
    } catch (error) {
      visitor.leave();
      throw error;
    }
  }

  #listen(out: HttpStream, wanted: SubscribeOptions, leave: () => void): void {
    const clock = this.#clock;
    const { queueLimit = 1024, highWaterBytes = 65_536, stallTimeoutMs = 10_000 } = this.#options;
    const hub = this.#hub;
    const position = hub.position;
    const { subscription, beginning } = hub.begin({ ...wanted, queueLimit }, () => writer.wake());
    const say = (message: ControlMessage): void => out.write(controlEvent(message), undefined);
    const writer: EventWriter = new EventWriter({
      sink: out,
      form: "sse",
      hub,
      subscription,
      schedule: this.#schedule,
      highWaterBytes,
      clock,
      say,
      onDropped: () => undefined,
    });
    let beatMs = clock.now();
    const release = (): void => {
      this.#listeners.delete(listener);
      writer.stop();
      subscription.close();
      leave();
    };
    const listener: Listener = {
      tick: () => {
        const now = clock.now();
        const { blockedSinceMs } = writer;
        if (blockedSinceMs !== undefined) {
          if (now - blockedSinceMs >= stallTimeoutMs) out.destroy();
          return;
        }
        writer.tick();
        if (now - beatMs < HEARTBEAT_MS) return;
        beatMs = now;
        out.write(HEARTBEAT, undefined);
      },
      end: () => {
        writer.finish();
        release();
        out.end();
      },
    };
    this.#listeners.add(listener);
    out.onClose(release);
    out.write(Buffer.from(`retry: ${RETRY_MS}\n`), undefined);
    const { source } = this.#options;
    const limits = { maxMessageBytes: 0, maxMessagesPerSecond: 0, queueLimit };
    const opening = { hub, clock, source, subscription, beginning, position, limits };
    for (const message of openingMessages(opening)) say(message);
    writer.pump();
  }
}

/**
 * Named, so that `onmessage` hears events alone. Those that end something take the position along: it is what the browser
 * comes back with.
 */
function controlEvent(message: ControlMessage): Buffer {
  const id = message.type === "bookmark" || message.type === "end" ? `id: ${message.position}\n` : "";
  return Buffer.from(`${id}event: ${message.type}\ndata: ${JSON.stringify(message)}\n\n`);
}

/** RFC 9110 §12.5.1, without weights: whoever lists it takes it. */
const accepts = (accept = "*/*"): boolean =>
  accept === "" || /(^|,)\s*(text\/event-stream|text\/\*|\*\/\*)\s*(;|,|$)/.test(accept);
