/**
 * What the service counts, for Prometheus. Reads events and the counters that are there anyway; nothing in the pipeline
 * knows of it. No label names a call, a participant or what was heard: series stay few, and voices private.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, type MetricObject, Registry } from "prom-client";
import type { Closable } from "../core/lifecycle.ts";
import { OVERLOAD_STEPS } from "../core/overload.ts";
import type { Engine } from "../engine.ts";
import type { EventData, TonetapEvent } from "../events/index.ts";
import type { ShardStatus } from "../media-host.ts";

/** What is read of an engine. */
export type Observed = Pick<Engine, "hub" | "media" | "models" | "load">;

const LATENCY_BUCKETS_S = [
  0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5,
];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/** Sources of users' own can be called anything; so many kinds have series of their own, later ones are `other`. */
const MAX_TRANSPORTS = 32;

type Packets = EventData<"quality">["packets"];
type Windows = EventData<"quality">["windows"];

interface Present {
  readonly transport: string;
  packets: Packets;
  windows: Windows;
}

const NO_PACKETS: Packets = { received: 0, lost: 0, recovered: 0, late: 0, duplicate: 0, ignored: 0 };
const NO_WINDOWS: Windows = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };

export class ServiceMetrics implements Closable {
  /** Metrics of your own can be added. */
  readonly registry = new Registry();
  readonly #observed: Observed;
  readonly #present = new Map<string, Present>();
  readonly #transports = new Set<string>();
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 20 });
  readonly #subscription: { unsubscribe(): void };
  #calls = 0;
  #alerts = 0;

  readonly #callsStarted = this.#counter("tonetap_calls_started_total", "Calls that began.");
  readonly #callsEnded = this.#counter("tonetap_calls_ended_total", "Calls that ended, by reason.", "reason");
  readonly #joined = this.#counter(
    "tonetap_participants_joined_total",
    "Participants that joined, by transport.",
    "transport",
  );
  readonly #left = this.#counter(
    "tonetap_participants_left_total",
    "Participants that left, by transport and reason.",
    "transport",
    "reason",
  );
  readonly #packets = this.#counter(
    "tonetap_packets_total",
    "RTP packets, by transport and what became of them. Counted every events.qualityMs.",
    "transport",
    "outcome",
  );
  readonly #windows = this.#counter(
    "tonetap_windows_total",
    "Windows, by transport and what became of them. Counted every events.qualityMs.",
    "transport",
    "outcome",
  );
  readonly #alertsRaised = this.#counter("tonetap_alerts_raised_total", "Alerts raised.");
  readonly #latency = this.#histogram(
    "tonetap_window_latency_seconds",
    "From the arrival of a window's last packet to its event, by transport.",
    "transport",
  );
  readonly #wait = this.#histogram(
    "tonetap_window_queue_seconds",
    "Wait of a window for its batch, by model.",
    "model",
  );
  readonly #inference = this.#histogram(
    "tonetap_window_inference_seconds",
    "Time of a window's batch in the model, by model.",
    "model",
  );

  constructor(observed: Observed) {
    this.#observed = observed;
    this.#loopDelay.enable();
    this.#addProcess();
    this.#addGauges();
    this.#addBatcher();
    this.#addLoad();
    this.#addShards();
    this.#subscription = observed.hub.events$.subscribe((event) => this.#count(event));
  }

  /** The text that Prometheus scrapes, and its content type. */
  async scrape(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  close(): Promise<void> {
    this.#subscription.unsubscribe();
    this.#loopDelay.disable();
    this.registry.clear();
    return Promise.resolve();
  }

  #count(event: TonetapEvent): void {
    switch (event.type) {
      case "tonetap.emotion": {
        const { latency, model } = event.data;
        const transport = this.#present.get(keyOf(event.data))?.transport ?? "other";
        this.#latency.observe({ transport }, latency.totalMs / 1000);
        this.#wait.observe({ model }, latency.queuedMs / 1000);
        this.#inference.observe({ model }, latency.inferenceMs / 1000);
        return;
      }
      case "tonetap.quality":
        this.#countQuality(event.data);
        return;
      case "tonetap.call.started":
        this.#calls++;
        this.#callsStarted.inc();
        return;
      case "tonetap.call.ended":
        this.#calls--;
        this.#callsEnded.inc({ reason: event.data.reason });
        return;
      case "tonetap.participant.joined": {
        const transport = this.#transport(event.data.transport);
        this.#present.set(keyOf(event.data), { transport, packets: NO_PACKETS, windows: NO_WINDOWS });
        this.#joined.inc({ transport });
        return;
      }
      case "tonetap.participant.left": {
        const key = keyOf(event.data);
        const transport = this.#present.get(key)?.transport ?? "other";
        this.#present.delete(key);
        this.#left.inc({ transport, reason: event.data.reason });
        return;
      }
      case "tonetap.alert.raised":
        this.#alerts++;
        this.#alertsRaised.inc();
        return;
      case "tonetap.alert.cleared":
        this.#alerts--;
        return;
      default:
        // The hub counts events as such.
        return;
    }
  }

  /** Quality events count from the participant's beginning; series count over all participants. */
  #countQuality(data: EventData<"quality">): void {
    const present = this.#present.get(keyOf(data));
    if (present === undefined) return;
    const { transport } = present;
    for (const [outcome, count] of Object.entries(data.packets)) {
      const more = count - present.packets[outcome as keyof Packets];
      // Recovered packets can be told late, and then less were lost: a counter never goes back. And 0 counts: a share of
      // lost packets needs the series before the first loss.
      this.#packets.inc({ transport, outcome }, Math.max(0, more));
    }
    for (const [outcome, count] of Object.entries(data.windows)) {
      const more = count - present.windows[outcome as keyof Windows];
      this.#windows.inc({ transport, outcome }, Math.max(0, more));
    }
    present.packets = highest(present.packets, data.packets);
    present.windows = highest(present.windows, data.windows);
  }

  #transport(kind: string): string {
    if (this.#transports.has(kind)) return kind;
    if (this.#transports.size === MAX_TRANSPORTS) return "other";
    this.#transports.add(kind);
    return kind;
  }

  #addProcess(): void {
    this.#read("counter", "process_cpu_seconds_total", "Processor time of the process.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
    this.#read("gauge", "process_resident_memory_bytes", "Resident memory of the process.", () =>
      process.memoryUsage.rss(),
    );
    this.#read("gauge", "nodejs_heap_size_used_bytes", "JavaScript heap in use.", () => {
      return process.memoryUsage().heapUsed;
    });
    const startedS = Date.parse(new Date(performance.timeOrigin).toISOString()) / 1000;
    this.#read("gauge", "process_start_time_seconds", "When the process began, Unix time.", () => startedS);
    this.#read("gauge", "nodejs_eventloop_lag_p99_seconds", "99th percentile since the last scrape.", () => {
      const seconds = Math.max(0, this.#loopDelay.percentile(99) / 1e9 - 0.02);
      this.#loopDelay.reset();
      return seconds;
    });
  }

  #addGauges(): void {
    const { hub } = this.#observed;
    this.#read("gauge", "tonetap_calls", "Live calls.", () => this.#calls);
    this.#read("gauge", "tonetap_alerts_active", "Alerts that stand.", () => this.#alerts);
    const present = this.#present;
    const transports = this.#transports;
    this.registry.registerMetric(
      new Gauge({
        name: "tonetap_participants",
        help: "Live participants, by transport.",
        labelNames: ["transport"],
        registers: [],
        collect() {
          for (const transport of [...transports, "other"]) this.set({ transport }, 0);
          for (const { transport } of present.values()) this.inc({ transport });
        },
      }),
    );
    this.#read("gauge", "tonetap_subscribers", "Subscribers to events.", () => hub.stats.subscribers);
    this.#read("counter", "tonetap_events_published_total", "Events published.", () => hub.stats.published);
    this.#read(
      "counter",
      "tonetap_events_dropped_total",
      "Events that subscribers missed because they read too slowly.",
      () => hub.stats.dropped,
    );
  }

  #addBatcher(): void {
    const { models } = this.#observed;
    this.#read(
      "gauge",
      "tonetap_batcher_queued_windows",
      "Windows that wait now.",
      () => models.stats.queued,
    );
    this.#read(
      "gauge",
      "tonetap_batcher_queue_limit_windows",
      "Windows that can wait at most.",
      () => models.stats.queueLimit,
    );
    this.#read(
      "gauge",
      "tonetap_batcher_in_flight_windows",
      "Windows in the model now.",
      () => models.stats.inFlight,
    );
    this.#readAll("counter", "tonetap_windows_dropped_total", "Windows dropped, by reason.", () =>
      Object.entries(models.stats.dropped).map(([reason, value]) => ({ labels: { reason }, value })),
    );
    this.#readAll("gauge", "tonetap_backend_up", "1 where a model worker can run.", () =>
      models.describe().flatMap(({ id, mode, backends }) =>
        backends.map(({ engine, provider, state }, worker) => ({
          labels: { model: id, mode, engine, provider, worker: String(worker) },
          value: state === "ready" ? 1 : 0,
        })),
      ),
    );
    this.#readAll("counter", "tonetap_backend_restarts_total", "Times that a worker was started anew.", () =>
      models.describe().flatMap(({ id, backends }) =>
        backends.map(({ restarts }, worker) => ({
          labels: { model: id, worker: String(worker) },
          value: restarts,
        })),
      ),
    );
    this.#readAll(
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
    );
    this.#read(
      "counter",
      "tonetap_streams_evicted_total",
      "Streams that lost their place to another.",
      () => models.stats.streams?.evicted ?? 0,
    );
    const name = "tonetap_batch_size_windows";
    this.registry.registerMetric(
      readMetric(name, "Windows in a batch of the model.", "histogram", () =>
        cumulative(name, models.stats.batchSizes),
      ),
    );
  }

  #addLoad(): void {
    const observed = this.#observed;
    this.#readAll("gauge", "tonetap_thread_load_ratio", "Share of its time that a thread works.", () => {
      const { main, model } = observed.load;
      return [
        { labels: { thread: "main" }, value: main },
        { labels: { thread: "model" }, value: model },
      ];
    });
    this.#readAll("gauge", "tonetap_overload_step", "1 for what is given up now.", () =>
      OVERLOAD_STEPS.map((step) => ({ labels: { step }, value: Number(step === observed.load.step) })),
    );
    this.#read(
      "counter",
      "tonetap_overload_shed_windows_total",
      "Windows left out because there was too much to do.",
      () => observed.load.shedWindows,
    );
    this.#read(
      "counter",
      "tonetap_overload_refused_participants_total",
      "Participants refused because there was too much to do.",
      () => observed.load.refusedParticipants,
    );
  }

  #addShards(): void {
    const { media } = this.#observed;
    const each = (value: (shard: ShardStatus) => number) => () =>
      media.shards.map((shard, index) => ({ labels: { shard: String(index) }, value: value(shard) }));
    const help = (text: string): string => `${text}, of each thread that works on audio.`;
    const up = each((shard) => Number(shard.up));
    this.#readAll("gauge", "tonetap_shard_up", help("1 where it works"), up);
    const participants = each((shard) => shard.participants);
    this.#readAll("gauge", "tonetap_shard_participants", help("Participants"), participants);
    const busy = each((shard) => shard.utilization);
    this.#readAll("gauge", "tonetap_shard_utilization_ratio", help("Busy share of the event loop"), busy);
    const dropped = each((shard) => shard.droppedPackets);
    const behind = help("Packets dropped because it was behind");
    this.#readAll("counter", "tonetap_shard_dropped_packets_total", behind, dropped);
    const restarts = each((shard) => shard.restarts);
    this.#readAll("counter", "tonetap_shard_restarts_total", help("Times that it broke down"), restarts);
  }

  #counter<L extends string>(name: string, help: string, ...labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<L extends string>(name: string, help: string, ...labelNames: L[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets: LATENCY_BUCKETS_S, registers: [this.registry] });
  }

  /** A number that is counted elsewhere, looked up when it is scraped. */
  #read(type: "counter" | "gauge", name: string, help: string, value: () => number): void {
    this.#readAll(type, name, help, () => [{ labels: {}, value: value() }]);
  }

  #readAll(type: "counter" | "gauge", name: string, help: string, values: () => MetricValue[]): void {
    this.registry.registerMetric(readMetric(name, help, type, values));
  }
}

interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Where it differs from the metric's own: `…_bucket`. */
  readonly metricName?: string;
}

/** prom-client's own classes count; this only asks. A registry needs no more than name and get(). */
function readMetric(
  name: string,
  help: string,
  type: "counter" | "gauge" | "histogram",
  values: () => MetricValue[],
): Gauge {
  const object = (): MetricObject =>
    ({ name, help, type, aggregator: "sum", values: values() }) as unknown as MetricObject;
  return { name, get: () => Promise.resolve(object()), reset: () => undefined } as unknown as Gauge;
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

function highest<T extends Readonly<Record<keyof T, number>>>(before: T, now: T): T {
  return Object.fromEntries(
    Object.entries<number>(now).map(([key, value]) => [key, Math.max(value, before[key as keyof T])]),
  ) as unknown as T;
}

const keyOf = ({ callId, participantId }: { callId: string; participantId: string }): string =>
  `${callId}\n${participantId}`;
