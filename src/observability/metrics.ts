/**
 * What the service counts, for Prometheus. Reads events and the counters that are there anyway; nothing in the pipeline
 * knows of it. No label names a call, a participant or what was heard: series stay few, and voices private. Which numbers
 * of an engine are looked up is engine-readings.ts.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, type MetricObject, Registry } from "prom-client";
import type { Closable } from "../core/lifecycle.ts";
import type { EventData, TonetapEvent } from "../events/index.ts";
import { engineReadings, type MetricReading, type Observed, reading } from "./engine-readings.ts";

const LATENCY_BUCKETS_S = [
  0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5,
];
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
    this.#loopDelay.enable();
    this.#addProcess();
    this.#addGauges();
    for (const reading of engineReadings(observed)) this.registry.registerMetric(readMetric(reading));
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
  }

  #counter<L extends string>(name: string, help: string, ...labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<L extends string>(name: string, help: string, ...labelNames: L[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets: LATENCY_BUCKETS_S, registers: [this.registry] });
  }

  /** A number that is counted elsewhere, looked up when it is scraped. */
  #read(type: "counter" | "gauge", name: string, help: string, value: () => number): void {
    this.registry.registerMetric(readMetric(reading(type, name, help, value)));
  }
}

/** prom-client's own classes count; this only asks. A registry needs no more than name and get(). */
function readMetric({ name, help, type, values }: MetricReading): Gauge {
  const object = (): MetricObject =>
    ({ name, help, type, aggregator: "sum", values: values() }) as unknown as MetricObject;
  return { name, get: () => Promise.resolve(object()), reset: () => undefined } as unknown as Gauge;
}

function highest<T extends Readonly<Record<keyof T, number>>>(before: T, now: T): T {
  return Object.fromEntries(
    Object.entries<number>(now).map(([key, value]) => [key, Math.max(value, before[key as keyof T])]),
  ) as unknown as T;
}

const keyOf = ({ callId, participantId }: { callId: string; participantId: string }): string =>
  `${callId}\n${participantId}`;
