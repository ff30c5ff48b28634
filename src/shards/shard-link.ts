/**
 * The main side of one shard's thread, from its start to its end: asks and orders out, news in. Starting another after a
 * crash is shard-pool.ts, one participant's part is shard-media.ts.
 */
import type { EventLoopUtilization } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import { type Clock, sharedOffsetMs } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { featureChannels } from "../core/feature-spec.ts";
import type { RtpPacket } from "../core/rtp.ts";
import { threadFlags } from "../core/thread-flags.ts";
import type { WindowParts } from "../window-chain.ts";
import type { DepartureMemory } from "./departures.ts";
import { createHeartbeat, HeartbeatWatch } from "./heartbeat.ts";
import { releaseRows } from "./outbox.ts";
import { createRestMemory, RestReader } from "./pacer.ts";
import { createPacketRing, PacketRingWriter } from "./packet-ring.ts";
import type {
  FromShard,
  OpenedSource,
  ShardAnswer,
  ShardAsk,
  ShardNews,
  ShardOrder,
  ShardSetup,
  SourceKind,
  SourceOpening,
  SourceOptions,
  ToShard,
} from "./shard-protocol.ts";
import { untold } from "./told-error.ts";
import { createWindowMailbox, WindowMailbox } from "./window-mailbox.ts";

/** About 0.5 s of 500 participants' packets. */
const RING_BYTES = 2 << 20;
/** Windows that the main thread may be behind. */
const MAILBOX_ROWS = 256;
/** A thread that was asked to end and has not is left behind after this, ms. */
const CLOSE_LIMIT_MS = 5_000;

// From source the thread is TypeScript, which Node ≥ 22.18 runs as it is; in the package it is the compiled file.
const SCRIPT = new URL(
  import.meta.url.endsWith(".ts") ? "./shard-thread.ts" : "./shard-thread.js",
  import.meta.url,
);

/** News of one participant's media. */
export type MediaNews = Exclude<ShardNews, { kind: "answer" | "refusal" | "source-over" }>;

/** Who is told what a shard says of one participant's media. */
export interface MediaReceiver {
  receive(news: MediaNews): void;
  /** The shard is gone, unasked: nothing more will come. */
  lost(error: TonetapError): void;
}

/** Who is told of a source that a shard has opened. */
export interface SourceReceiver {
  /** It gives no more. */
  end(error: TonetapError | undefined, timedOut: boolean): void;
  /** The shard is gone, unasked, and the source with it. */
  lost(error: TonetapError): void;
}

export interface ShardLinkOptions {
  readonly clock: Clock;
  readonly parts: Pick<WindowParts, "config" | "manifest">;
  /** Of the thread's heap. */
  readonly maxHeapMiB: number;
  /** Without a sign of life for longer, ms, it hangs and is ended. */
  readonly hangLimitMs: number;
  /** Of all shards. */
  readonly departures: DepartureMemory;
  /** Windows that are a batch: as many wait for no others. */
  readonly batch: number;
  /** Called once, when the thread is gone without having been asked to; everyone on it was told before. */
  readonly onLost: (error: TonetapError) => void;
}

export class ShardLink {
  /** Resolves when it takes participants; rejects when it ends before. */
  readonly ready: Promise<void>;
  readonly mailbox: WindowMailbox;
  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #hangLimitMs: number;
  readonly #watch: HeartbeatWatch;
  readonly #rest: RestReader;
  readonly #ring: PacketRingWriter;
  readonly #onLost: (error: TonetapError) => void;
  readonly #receivers = new Map<number, MediaReceiver>();
  readonly #sources = new Map<number, SourceReceiver>();
  readonly #asked = new Map<number, PromiseWithResolvers<ShardAnswer>>();
  readonly #opening = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<void>();
  #requests = 0;
  #bellDue = false;
  #utilization: EventLoopUtilization;
  /** Why it is of no more use, once it is. */
  #ended: TonetapError | undefined;

  constructor(options: ShardLinkOptions) {
    const { clock, parts, maxHeapMiB, hangLimitMs, departures, batch, onLost } = options;
    const { features, window } = parts.manifest;
    const ring = createPacketRing(RING_BYTES);
    const size = featureChannels(features) * window.frames;
    const mailbox = createWindowMailbox(MAILBOX_ROWS, size);
    const heartbeat = createHeartbeat();
    const rested = createRestMemory();
    const { jitter, window: windows } = parts.config;
    const setup: ShardSetup = {
      clockOffsetMs: sharedOffsetMs(),
      config: { jitter, window: windows },
      features,
      window,
      heartbeat,
      rested,
      departures,
      batch,
      ring,
      mailbox,
    };
    this.#clock = clock;
    this.#onLost = onLost;
    this.#hangLimitMs = hangLimitMs;
    this.#rest = new RestReader(rested);
    this.#watch = new HeartbeatWatch(heartbeat, hangLimitMs, clock.now());
    this.#ring = new PacketRingWriter(ring);
    this.mailbox = new WindowMailbox(mailbox);
    this.ready = this.#opening.promise;
    this.ready.catch(() => undefined);
    this.#worker = new Worker(SCRIPT, {
      name: "tonetap-shard",
      workerData: setup,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMiB },
      ...threadFlags(),
    });
    this.#utilization = this.#worker.performance.eventLoopUtilization();
    this.#worker.on("message", (news: FromShard) => this.#receive(news));
    this.#worker.on("error", (error) =>
      this.#lose(TonetapError.from(error, "unavailable", "a shard failed")),
    );
    this.#worker.on("exit", (code) => {
      this.#lose(new TonetapError("unavailable", `a shard ended with code ${code}`));
      this.#exited.resolve();
    });
  }

  get alive(): boolean {
    return this.#ended === undefined;
  }

  /** Participants' media that it has. */
  get media(): number {
    return this.#receivers.size;
  }

  /** The same, and whose sources are open already: those come to be attached. */
  get tenants(): number {
    return Math.max(this.#receivers.size, this.#sources.size);
  }

  /** Packets for it that found the ring full. */
  get droppedPackets(): number {
    return this.#ring.dropped;
  }

  /** Resolves when the thread is gone and its sockets are free; one that does not end is left behind after some seconds. */
  async gone(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.schedule(CLOSE_LIMIT_MS, () => late.resolve());
    await Promise.race([this.#exited.promise, late.promise]);
    cancel();
  }

  /**
   * Ends it if it has hung for too long, as if it had failed. It runs nothing that must not be terminated: JavaScript and
   * WebAssembly stop where they are, and no runtime of others (native-hold.ts) is in it.
   */
  look(): void {
    if (!this.#watch.isSilent(this.#clock.now())) return;
    this.#lose(
      new TonetapError("unavailable", `a shard gave no sign of life for more than ${this.#hangLimitMs} ms`),
    );
  }

  /** Share of the time since it was last asked that its event loop was busy, 0–1. */
  takeUtilization(): number {
    const now = this.#worker.performance.eventLoopUtilization();
    const { active, idle } = this.#worker.performance.eventLoopUtilization(now, this.#utilization);
    this.#utilization = now;
    // Node counts as active what the thread rested.
    const busyMs = Math.max(0, active - this.#rest.takeMs());
    return active + idle === 0 ? 0 : busyMs / (active + idle);
  }

  /** From here on news of these media go to `receiver`. */
  register(media: number, receiver: MediaReceiver): void {
    this.#receivers.set(media, receiver);
  }

  unregister(media: number): void {
    this.#receivers.delete(media);
  }

  /** From here on `receiver` is told of this source. */
  registerSource(source: number, receiver: SourceReceiver): void {
    this.#sources.set(source, receiver);
  }

  unregisterSource(source: number): void {
    this.#sources.delete(source);
  }

  /** Opens a source. @throws what the shard refuses by; TonetapError unavailable when it is gone */
  async open<K extends SourceKind>(
    source: number,
    kind: K,
    options: SourceOptions<K>,
  ): Promise<OpenedSource<K> | undefined> {
    const opening = { kind, options } as SourceOpening;
    return (await this.ask({ kind: "open-source", source, opening })) as OpenedSource<K> | undefined;
  }

  /** @throws what the shard refuses by; TonetapError unavailable when it is gone */
  ask(ask: ShardAsk): Promise<ShardAnswer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const request = this.#requests++;
    const asked = Promise.withResolvers<ShardAnswer>();
    this.#asked.set(request, asked);
    this.#post({ ...ask, request });
    return asked.promise;
  }

  order(order: ShardOrder): void {
    if (this.#ended === undefined) this.#post(order);
  }

  /** Hands a packet over. @returns false when it was dropped */
  forward(media: number, packet: RtpPacket): boolean {
    if (this.#ended !== undefined || !this.#ring.write(media, packet)) return false;
    if (!this.#bellDue && this.#ring.isReaderAsleep) {
      this.#bellDue = true;
      // Once for all packets that come in this turn of the event loop.
      setImmediate(() => {
        this.#bellDue = false;
        if (this.#ring.takeSleeper()) this.order({ kind: "packets" });
      });
    }
    return true;
  }

  /** Ends the thread; whoever is still on it is not told. */
  async close(): Promise<void> {
    this.#end(new TonetapError("closed", "the shards are closed"));
    void this.#worker.terminate();
    await this.gone();
  }

  /** For tests of what a crash does: the thread ends as if it had failed. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(all: FromShard): void {
    if (all.length === 0) {
      // That it was busy starting says nothing of its load.
      this.takeUtilization();
      this.#opening.resolve();
    }
    for (const told of all) {
      const news = typeof told === "number" ? this.mailbox.read(told) : told;
      switch (news.kind) {
        case "answer":
          this.#take(news.request)?.resolve(news.value);
          break;
        case "refusal":
          this.#take(news.request)?.reject(untold(news.error));
          break;
        case "source-over":
          this.#sources.get(news.source)?.end(news.error && untold(news.error), news.timedOut);
          break;
        default:
          this.#tell(news);
      }
    }
  }

  #tell(news: MediaNews): void {
    const receiver = this.#receivers.get(news.media);
    if (receiver !== undefined) receiver.receive(news);
    else releaseRows(this.mailbox, news);
  }

  #take(request: number): PromiseWithResolvers<ShardAnswer> | undefined {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    return asked;
  }

  #lose(error: TonetapError): void {
    if (this.#ended !== undefined) return;
    this.#end(error);
    void this.#worker.terminate();
    // Whoever is worked on asks where its source will be.
    for (const receiver of [...this.#sources.values()]) receiver.lost(error);
    this.#sources.clear();
    for (const receiver of [...this.#receivers.values()]) receiver.lost(error);
    this.#receivers.clear();
    this.#onLost(error);
  }

  #end(error: TonetapError): void {
    this.#ended ??= error;
    this.#opening.reject(error);
    for (const asked of this.#asked.values()) asked.reject(error);
    this.#asked.clear();
  }

  #post(message: ToShard): void {
    this.#worker.postMessage(message);
  }
}
