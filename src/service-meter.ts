/** How the service is doing over a period: the part of a stats event that is counted, and the part that is looked up. */
import type { Clock } from "./core/clock.ts";
import { LatencyHistogram } from "./core/histogram.ts";
import type { MonotonicMs } from "./core/units.ts";
import type { Engine } from "./engine.ts";
import type { EventData } from "./events/index.ts";
import type { BatcherStats } from "./inference/index.ts";

export interface ServiceLoad {
  /** Windows judged a second, over the period. */
  readonly windowsPerSecond: number;
  /** Windows a batch, over the period; 0 when there was none. */
  readonly meanBatchSize: number;
  /** From a window's last packet to its event, over the period. */
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Since the service started. */
  readonly droppedWindows: number;
  /** Processor time of the process over the period, in cores. */
  readonly cpuShare: number;
  readonly rssBytes: number;
}

export class ServiceMeter {
  /** Give it the latency of every emotion event, ms. */
  readonly latency = new LatencyHistogram();
  readonly #clock: Clock;
  #sinceMs: MonotonicMs;
  #cpu = process.cpuUsage();
  #batches = 0;
  #windows = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.now();
  }

  /** The period that ends now; begins a new one. */
  take({ estimated, batches, dropped }: BatcherStats): ServiceLoad {
    const now = this.#clock.now();
    const elapsedMs = Math.max(1, now - this.#sinceMs);
    const windows = estimated - this.#windows;
    const batchCount = batches - this.#batches;
    const cpu = process.cpuUsage(this.#cpu);
    const load: ServiceLoad = {
      windowsPerSecond: (windows * 1000) / elapsedMs,
      meanBatchSize: batchCount === 0 ? 0 : windows / batchCount,
      latencyMs: { p50: this.latency.quantile(0.5), p99: this.latency.quantile(0.99) },
      droppedWindows: dropped.overload + dropped.deadline + dropped.backend + dropped.closed,
      cpuShare: (cpu.user + cpu.system) / 1000 / elapsedMs,
      rssBytes: process.memoryUsage.rss(),
    };
    this.#sinceMs = now;
    this.#windows = estimated;
    this.#batches = batches;
    this.#cpu = process.cpuUsage();
    this.latency.reset();
    return load;
  }
}

type LookedUp = "subscribers" | "backend" | "model" | "droppedEvents" | "shards";

/** What an engine's parts say of themselves. */
export function serviceStats({
  hub,
  media,
  models,
}: Pick<Engine, "hub" | "media" | "models">): Pick<EventData<"service.stats">, LookedUp> {
  const { subscribers, dropped } = hub.stats;
  const [backend] = models.describeBackends();
  const shards = media.shards.map(({ lastError, ...shard }) => shard);
  return {
    subscribers,
    backend: `${backend?.engine.split(" ")[0] ?? ""}/${backend?.provider ?? ""}`,
    model: backend?.model ?? "",
    droppedEvents: dropped,
    ...(shards.length === 0 ? {} : { shards }),
  };
}
