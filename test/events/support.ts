/** A small event service on a free loopback port, and peers that talk to it. */
import { once } from "node:events";
import { decode } from "cborg";
import { type ClientOptions, WebSocket } from "ws";
import type { Clock } from "../../src/core/clock.ts";
import { monotonicMs, sampleIndex, wallMs } from "../../src/core/units.ts";
import type { EmotionResult } from "../../src/core/window.ts";
import { emotionData, type Speaker } from "../../src/events/event-data.ts";
import { EventFactory } from "../../src/events/event-factory.ts";
import { HttpServer } from "../../src/events/http-server.ts";
import { EventHub } from "../../src/events/hub.ts";
import type { ControlMessage } from "../../src/events/protocol.ts";
import type { ReplayLimits } from "../../src/events/replay-ring.ts";
import type { EventData, EventOf, TonetapEvent } from "../../src/events/schema.ts";
import { type EventSocketOptions, EventSocketServer } from "../../src/events/websocket-server.ts";

export const LABELS = ["neutral", "happy", "sad", "angry"] as const;

export interface EventService extends AsyncDisposable {
  readonly http: HttpServer;
  readonly hub: EventHub;
  readonly factory: EventFactory;
  readonly sockets: EventSocketServer;
  /** `http://127.0.0.1:<port>/` */
  readonly url: URL;
}

export async function startService(
  options: Partial<EventSocketOptions> & {
    readonly clock?: Clock;
    readonly port?: number;
    readonly replay?: ReplayLimits;
  } = {},
): Promise<EventService> {
  const { port = 0, clock, replay, ...socketOptions } = options;
  const factory = new EventFactory();
  const hub = new EventHub({
    epoch: factory.epoch,
    ...(clock === undefined ? {} : { clock }),
    ...(replay === undefined ? {} : { replay }),
  });
  const http = new HttpServer(socketOptions);
  const sockets = new EventSocketServer(http.server, hub, {
    source: factory.source,
    ...(clock === undefined ? {} : { clock }),
    ...socketOptions,
  });
  const url = await http.listen("127.0.0.1", port);
  return {
    http,
    hub,
    factory,
    sockets,
    url,
    async [Symbol.asyncDispose]() {
      // On a manual clock nobody would cut off a peer that does not say goodbye: these tests end theirs themselves.
      await sockets.close();
      await hub.close();
      await http.close();
    },
  };
}

/** A WebSocket peer that keeps everything it hears. */
export class Peer {
  readonly socket: WebSocket;
  readonly events: TonetapEvent[] = [];
  readonly control: ControlMessage[] = [];
  /** All frames in the order they came: an event's id or a control message's type. */
  readonly frames: string[] = [];
  closeCode: number | undefined;
  binaryFrames = 0;

  constructor(service: EventService, query = "", options: ClientOptions = {}, protocols: string[] = []) {
    const url = new URL(`/v1/events${query}`, service.url);
    url.protocol = "ws:";
    this.socket = new WebSocket(url, protocols, options);
    this.socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.binaryFrames++;
      const message = (isBinary ? decode(data) : JSON.parse(data.toString())) as
        | TonetapEvent
        | ControlMessage;
      if ("specversion" in message) {
        this.events.push(message);
        this.frames.push(message.id);
      } else {
        this.control.push(message);
        this.frames.push(message.type);
      }
    });
    this.socket.on("close", (code) => {
      this.closeCode = code;
    });
  }

  /** Connects and waits for `hello`. */
  static async open(...args: ConstructorParameters<typeof Peer>): Promise<Peer> {
    const peer = new Peer(...args);
    await once(peer.socket, "open");
    if (peer.socket.protocol !== "cloudevents.json") await until(() => peer.control.length > 0);
    return peer;
  }

  say(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Waits for a control message of this type, the `count`-th. */
  async heard<T extends ControlMessage["type"]>(
    type: T,
    count = 1,
  ): Promise<Extract<ControlMessage, { type: T }>> {
    const found = (): ControlMessage[] => this.control.filter((message) => message.type === type);
    await until(() => found().length >= count);
    return found()[count - 1] as Extract<ControlMessage, { type: T }>;
  }

  async close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.socket.close();
    await once(this.socket, "close");
  }
}

/** Polls with real time: for what sockets do. */
export async function until(condition: () => boolean, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/**
 * Lets sockets of this process do what they have to do. A time alone would not: a process that was held up finds its timers
 * due before it looks at its sockets.
 */
export async function breathe(ms = 20): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export const ADA: Speaker = { callId: "c1", participantId: "ada", role: "customer" };

export function emotionResult(index: number, model = "tiny@1.0.0"): EmotionResult {
  return {
    kind: "emotion",
    index,
    start: sampleIndex(index * 8000),
    end: sampleIndex(index * 8000 + 48_000),
    mediaStartMs: index * 500,
    mediaEndMs: index * 500 + 3000,
    wallStartMs: wallMs(Date.UTC(2026, 0, 1) + index * 500),
    wallEndMs: wallMs(Date.UTC(2026, 0, 1) + index * 500 + 3000),
    wallSource: "arrival",
    speechShare: 0.9,
    lossShare: 0,
    arrivalMs: monotonicMs(1000),
    scores: Float32Array.of(0.1, 0.2, 0.1, 0.6),
    top: 3,
    confidence: 0.6,
    abstained: false,
    valence: -0.5,
    arousal: 0.5,
    model,
    batchSize: 4,
    queuedMs: 3,
    inferenceMs: 8,
  };
}

export const emotionOf = (speaker: Speaker, index: number): EventData<"emotion"> =>
  emotionData(speaker, emotionResult(index), LABELS, monotonicMs(1015.25));

export const joinedOf = (speaker: Speaker): EventData<"participant.joined"> => ({
  ...speaker,
  consent: "granted",
  paused: false,
  transport: "rtp",
});

/** A factory's `create("emotion", …)` in short. */
export const emotion = (factory: EventFactory, speaker: Speaker, index: number): EventOf<"emotion"> =>
  factory.create("emotion", emotionOf(speaker, index));
