/** What the bench says to its two kinds of children, the load generator and the service under test, and what they answer. */
import { type ChildProcess, fork } from "node:child_process";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import type { StageTime } from "./profile.ts";

/** SSRC of a participant: its number above this. */
export const SSRC_BASE = 0x10000;
export const OPUS_PAYLOAD_TYPE = 111;
export const PACKET_MS = 20;
/** RFC 7587 §4.1: 48 kHz. */
export const TICKS_PER_PACKET = 48 * PACKET_MS;
export const HOP_MS = 500;

export interface UdpEndpoint {
  readonly host: string;
  readonly port: number;
}

/** When a participant's packet 0 was due. */
export interface Start {
  readonly participant: number;
  /** RTP timestamp of packet 0. */
  readonly timestamp: number;
  /** ms of the system's monotonic clock (process.hrtime), which all processes share. */
  readonly dueMs: number;
}

// The load generator.

export type ToGenerator =
  | { readonly kind: "send-to"; readonly endpoint: UdpEndpoint }
  | { readonly kind: "stop"; readonly participants: readonly number[] }
  | {
      readonly kind: "start";
      readonly participants: readonly number[];
      /** Of each participant, where it is not the common one. */
      readonly endpoints: readonly UdpEndpoint[];
      /** URL of the WHIP endpoint that they publish to, instead of sending plain RTP. */
      readonly whip: string | undefined;
      /** Of its time a participant talks so much, 0–1; between, its encoder is in DTX. */
      readonly talkShare: number;
    }
  /** Begins a new measurement; answers with the one before. */
  | { readonly kind: "report" };

export interface GeneratorReport {
  readonly sentPackets: number;
  readonly elapsedMs: number;
  readonly cpuCores: number;
  /** How long after it was due a packet was sent, ms. */
  readonly lateness: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number };
}

export type FromGenerator =
  | { readonly kind: "ready" }
  | { readonly kind: "started"; readonly starts: readonly Start[] }
  | { readonly kind: "report"; readonly report: GeneratorReport };

// The service under test.

/** Doors of which every participant has one of its own, where its packets are worked on. */
export const OWN_DOORS = ["rtp", "sip", "whip"] as const;
export type OwnDoor = (typeof OWN_DOORS)[number];
/** Names one of {@link OWN_DOORS} in its environment; without it all come through one UDP port. */
export const OWN_DOOR = "BENCH_OWN_DOOR";

export type ToSubject =
  | { readonly kind: "attach" | "detach"; readonly participants: readonly number[] }
  | { readonly kind: "starts"; readonly starts: readonly Start[] }
  /** Collects all garbage. */
  | { readonly kind: "collect" }
  | { readonly kind: "measure"; readonly profile: boolean }
  /** Ends the measurement that `measure` began. */
  | { readonly kind: "sample" }
  | { readonly kind: "close" };

export interface SubjectDescription {
  readonly rtp: UdpEndpoint;
  /** URL at which participants come by themselves, if they do. */
  readonly whip?: string;
  /** WebSocket address of its events. */
  readonly events: string;
  /** What runs the model, in words. */
  readonly backend: string;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface SubjectSample {
  readonly elapsedMs: number;
  /** CPU of the whole process, in cores. */
  readonly cpuCores: number;
  /** Of that, by thread name. Empty where the system does not tell. */
  readonly threadCores: Readonly<Record<string, number>>;
  /** Emotion events. */
  readonly windows: number;
  readonly droppedWindows: number;
  readonly meanBatch: number;
  /** From the arrival of a window's last packet in the process to its event. */
  readonly fromArrival: Latency;
  /** From the time that packet was due to be sent: time in the socket's buffer counts. */
  readonly fromSending: Latency;
  readonly receivedPackets: number;
  /** Sequence numbers that never came. */
  readonly lostPackets: number;
  /** Datagrams that the system threw away because the socket's buffer was full; −1 where it does not tell. */
  readonly socketDrops: number;
  readonly rssBytes: number;
  /** The main thread's, by its profile; empty without one. */
  readonly stages: readonly StageTime[];
  readonly hotSpots: readonly HotSpot[];
}

/** A function and its own share of the main thread's busy time. */
export interface HotSpot {
  readonly name: string;
  readonly where: string;
  readonly share: number;
}

export type FromSubject =
  | { readonly kind: "open"; readonly description: SubjectDescription }
  | { readonly kind: "done"; readonly endpoints: readonly UdpEndpoint[] }
  | { readonly kind: "sample"; readonly sample: SubjectSample }
  | { readonly kind: "failed"; readonly message: string };

/** What to add to this process's clock to get the system's monotonic one, ms. */
export const SHARED_OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - systemClock.now();

/** ms on the clock that all processes share. */
export const sharedNow = (): number => systemClock.now() + SHARED_OFFSET_MS;

/** A child process that answers each message with one, in order. */
export class Child<To extends object, From extends { readonly kind: string }> {
  readonly #process: ChildProcess;
  readonly #name: string;
  readonly #waiting: PromiseWithResolvers<From>[] = [];
  readonly #early: From[] = [];
  #ended: TonetapError | undefined;

  constructor(
    name: string,
    script: URL,
    nodeFlags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#name = name;
    this.#process = fork(script, {
      env: { ...process.env, ...env },
      execArgv: [...nodeFlags],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#process.on("message", (message: From) => this.#receive(message));
    this.#process.on("exit", (code, signal) => this.#end(`ended with ${signal ?? code}`));
    this.#process.on("error", (error) => this.#end(error.message));
  }

  /** The next answer. @throws TonetapError unavailable when the child ended or failed. */
  async next<K extends From["kind"]>(kind: K): Promise<Extract<From, { kind: K }>> {
    const waiting = Promise.withResolvers<From>();
    const early = this.#early.shift();
    if (early !== undefined) waiting.resolve(early);
    else if (this.#ended !== undefined) waiting.reject(this.#ended);
    else this.#waiting.push(waiting);
    const message = await waiting.promise;
    if (message.kind === kind) return message as Extract<From, { kind: K }>;
    throw new TonetapError("internal", `${this.#name}: ${JSON.stringify(message)} came instead of ${kind}`);
  }

  ask<K extends From["kind"]>(message: To, answer: K): Promise<Extract<From, { kind: K }>> {
    this.#process.send(message);
    return this.next(answer);
  }

  /** Ends the child without asking; what it owns goes with its process. */
  async kill(): Promise<void> {
    if (this.#ended !== undefined) return;
    const gone = new Promise<void>((resolve) => this.#process.once("exit", () => resolve()));
    this.#process.kill();
    await gone;
  }

  #receive(message: From): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#early.push(message);
    else waiting.resolve(message);
  }

  #end(reason: string): void {
    this.#ended ??= new TonetapError("unavailable", `${this.#name} ${reason}`);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#ended);
  }
}
