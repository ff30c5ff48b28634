/**
 * What is looked up of an engine when its metrics are scraped: its subscribers, models, load and threads. What is counted
 * as it happens, and the registry, are metrics.ts.
 */
import { OVERLOAD_STEPS } from "../core/overload.ts";
import type { Engine } from "../engine.ts";
import type { ShardStatus } from "../media-host.ts";

const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/** What is read of an engine. */
export type Observed = Pick<Engine, "hub" | "media" | "models" | "load">;

/** A metric that is counted elsewhere. */
export interface MetricReading {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Called at each scrape. */
  readonly values: () => MetricValue[];
}

export interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Where it differs from the metric's own: `…_bucket`. */
  readonly metricName?: string;
}

/** Everything that is looked up of `engine`; no label names a call or a participant. */
export function engineReadings(engine: Observed): readonly MetricReading[] {
  return [
    ...hubReadings(engine),
    ...modelReadings(engine),
    ...loadReadings(engine),
    ...shardReadings(engine),
  ];
}

/** A metric of one value. */
export const reading = (
  type: "counter" | "gauge",
  name: string,
  help: string,
  value: () => number,
): MetricReading => readings(type, name, help, () => [{ labels: {}, value: value() }]);

const readings = (
  type: MetricReading["type"],
  name: string,
  help: string,
  values: () => MetricValue[],
): MetricReading => ({ name, help, type, values });

function hubReadings({ hub }: Observed): MetricReading[] {
  return [
    reading("gauge", "tonetap_subscribers", "Subscribers to events.", () => hub.stats.subscribers),
    reading("counter", "tonetap_events_published_total", "Events published.", () => hub.stats.published),
    reading(
      "counter",
      "tonetap_events_dropped_total",
      "Events that subscribers missed because they read too slowly.",
      () => hub.stats.dropped,
    ),
  ];
}

function modelReadings({ models }: Observed): MetricReading[] {
  const batchSize = "tonetap_batch_size_windows";
  return [
    reading("gauge", "tonetap_batcher_queued_windows", "Windows that wait now.", () => models.stats.queued),
    reading(
      "gauge",
      "tonetap_batcher_queue_limit_windows",
      "Windows that can wait at most.",
      () => models.stats.queueLimit,
    ),
    reading(
      "gauge",
      "tonetap_batcher_delay_seconds",
      "How long the oldest window waits for batch-mates; longer where the machine is busy.",
      () => models.stats.delayMs / 1000,
    ),
    reading(
      "gauge",
      "tonetap_batcher_in_flight_windows",
      "Windows in the model now.",
      () => models.stats.inFlight,
    ),
    readings("counter", "tonetap_windows_dropped_total", "Windows dropped, by reason.", () =>
      Object.entries(models.stats.dropped).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    readings("gauge", "tonetap_backend_up", "1 where a model worker can run.", () =>
      models.describe().flatMap(({ id, mode, backends }) =>
        backends.map(({ engine, provider, state }, worker) => ({
          labels: { model: id, mode, engine, provider, worker: String(worker) },
          value: state === "ready" ? 1 : 0,
        })),
      ),
    ),
    readings("counter", "tonetap_backend_restarts_total", "Times that a worker was started anew.", () =>
      models.describe().flatMap(({ id, backends }) =>
        backends.map(({ restarts }, worker) => ({
          labels: { model: id, worker: String(worker) },
          value: restarts,
        })),
      ),
    ),
    readings(
      "counter",
      "tonetap_stream_windows_total",
      "Windows judged by their streams: by their new frames, or by all of them where a stream begins anew.",
      () => {
        const { steps = 0, rebuilds = 0 } = models.stats.streams ?? {};
        return [
          { labels: { frames: "new" }, value: steps },
          { labels: { frames: "all" }, value: rebuilds },
        ];
      },
    ),
    reading(
      "counter",
      "tonetap_streams_evicted_total",
      "Streams that lost their place to another.",
      () => models.stats.streams?.evicted ?? 0,
    ),
    readings("histogram", batchSize, "Windows in a batch of the model.", () =>
      cumulative(batchSize, models.stats.batchSizes),
    ),
  ];
}

function loadReadings(engine: Observed): MetricReading[] {
  return [
    readings("gauge", "tonetap_thread_load_ratio", "Share of its time that a thread works.", () => {
      const { main, model } = engine.load;
      return [
        { labels: { thread: "main" }, value: main },
        { labels: { thread: "model" }, value: model },
      ];
    }),
    readings("gauge", "tonetap_overload_step", "1 for what is given up now.", () =>
      OVERLOAD_STEPS.map((step) => ({ labels: { step }, value: Number(step === engine.load.step) })),
    ),
    reading(
      "counter",
      "tonetap_overload_shed_windows_total",
      "Windows left out because there was too much to do.",
      () => engine.load.shedWindows,
    ),
    reading(
      "counter",
      "tonetap_overload_refused_participants_total",
      "Participants refused because there was too much to do.",
      () => engine.load.refusedParticipants,
    ),
  ];
}

function shardReadings({ media }: Observed): MetricReading[] {
  const each = (value: (shard: ShardStatus) => number) => () =>
    media.shards.map((shard, index) => ({ labels: { shard: String(index) }, value: value(shard) }));
  const help = (text: string): string => `${text}, of each thread that works on audio.`;
  return [
    readings(
      "gauge",
      "tonetap_shard_up",
      help("1 where it works"),
      each((shard) => Number(shard.up)),
    ),
    readings(
      "gauge",
      "tonetap_shard_participants",
      help("Participants"),
      each((shard) => shard.participants),
    ),
    readings(
      "gauge",
      "tonetap_shard_utilization_ratio",
      help("Busy share of the event loop"),
      each((shard) => shard.utilization),
    ),
    readings(
      "counter",
      "tonetap_shard_dropped_packets_total",
      help("Packets dropped because it was behind"),
      each((shard) => shard.droppedPackets),
    ),
    readings(
      "counter",
      "tonetap_shard_restarts_total",
      help("Times that it broke down"),
      each((shard) => shard.restarts),
    ),
  ];
}

/** Counts by size → the series of a histogram. */
function cumulative(name: string, sizes: readonly number[]): MetricValue[] {
  let count = 0;
  let sum = 0;
  let size = 1;
  const upTo = (limit: number): number => {
    for (; size < sizes.length && size <= limit; size++) {
      count += sizes[size] ?? 0;
      sum += size * (sizes[size] ?? 0);
    }
    return count;
  };
  const buckets = [...BATCH_BUCKETS.filter((limit) => limit < sizes.length), Number.POSITIVE_INFINITY];
  const series = buckets.map((limit) => ({
    labels: { le: Number.isFinite(limit) ? limit : "+Inf" },
    value: upTo(limit),
    metricName: `${name}_bucket`,
  }));
  return [
    ...series,
    { labels: {}, value: sum, metricName: `${name}_sum` },
    { labels: {}, value: count, metricName: `${name}_count` },
  ];
}
