/** Counts what the batcher did, in fixed memory. */
import { LatencyHistogram } from "../core/histogram.ts";
import type { DroppedWindow } from "../core/window.ts";
import type { StreamStats } from "./streams.ts";

export interface LatencyStats {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** All counts since the batcher was made. submitted = estimated + every drop + queued + inFlight. */
export interface BatcherStats {
  readonly submitted: number;
  /** Windows that got an estimate. */
  readonly estimated: number;
  readonly dropped: Readonly<Record<DroppedWindow["reason"], number>>;
  /** Batches that the model finished. */
  readonly batches: number;
  /** Time in the model, of finished batches together. */
  readonly inferenceMs: number;
  /** batchSizes[n]: finished batches of n windows, 0 … maxBatch. */
  readonly batchSizes: readonly number[];
  /** Windows waiting now, and at most. */
  readonly queued: number;
  readonly queueLimit: number;
  /** How long the oldest of them waits for batch-mates now, ms. */
  readonly delayMs: number;
  /** Windows in the model now. */
  readonly inFlight: number;
  /** Backends that can run now, of how many. */
  readonly backendsUp: number;
  readonly backends: number;
  /** Wait in the batcher, of estimated windows. */
  readonly wait: LatencyStats;
  /** Time in the model, of finished batches. */
  readonly inference: LatencyStats;
  /** Why a batch failed, the last time; empty if none did. */
  readonly lastError: string;
  /** Where windows are judged by their streams. */
  readonly streams?: StreamStats;
}

/** Counts of models that judge the same calls, together; latencies, limits and the last error are the first's. */
export function addStats(first: BatcherStats, others: readonly BatcherStats[]): BatcherStats {
  if (others.length === 0) return first;
  const all = [first, ...others];
  const total = (of: (stats: BatcherStats) => number): number => all.reduce((sum, one) => sum + of(one), 0);
  const sizes = Math.max(...all.map(({ batchSizes }) => batchSizes.length));
  return {
    ...first,
    submitted: total(({ submitted }) => submitted),
    estimated: total(({ estimated }) => estimated),
    dropped: {
      overload: total(({ dropped }) => dropped.overload),
      deadline: total(({ dropped }) => dropped.deadline),
      backend: total(({ dropped }) => dropped.backend),
      closed: total(({ dropped }) => dropped.closed),
    },
    batches: total(({ batches }) => batches),
    inferenceMs: total(({ inferenceMs }) => inferenceMs),
    batchSizes: Array.from({ length: sizes }, (_, n) => total(({ batchSizes }) => batchSizes[n] ?? 0)),
    queued: total(({ queued }) => queued),
    inFlight: total(({ inFlight }) => inFlight),
    ...addStreams(all),
  };
}

/** The limit is the first's that has streams. */
function addStreams(all: readonly BatcherStats[]): Pick<BatcherStats, "streams"> {
  const each = all.flatMap(({ streams }) => (streams === undefined ? [] : [streams]));
  const [first] = each;
  if (first === undefined) return {};
  const total = (of: (stats: StreamStats) => number): number => each.reduce((sum, one) => sum + of(one), 0);
  const streams: StreamStats = {
    steps: total(({ steps }) => steps),
    rebuilds: total(({ rebuilds }) => rebuilds),
    held: total(({ held }) => held),
    limit: first.limit,
    evicted: total(({ evicted }) => evicted),
  };
  return { streams };
}

export class BatcherCounters {
  submitted = 0;
  estimated = 0;
  batches = 0;
  inferenceMs = 0;
  lastError = "";
  readonly dropped: Record<DroppedWindow["reason"], number> = {
    overload: 0,
    deadline: 0,
    backend: 0,
    closed: 0,
  };
  readonly batchSizes: number[];
  readonly #wait = new LatencyHistogram();
  readonly #inference = new LatencyHistogram();

  constructor(maxBatch: number) {
    this.batchSizes = new Array<number>(maxBatch + 1).fill(0);
  }

  batch(size: number, inferenceMs: number): void {
    this.batches++;
    this.inferenceMs += inferenceMs;
    this.batchSizes[size] = (this.batchSizes[size] ?? 0) + 1;
    this.#inference.record(inferenceMs);
  }

  estimate(queuedMs: number): void {
    this.estimated++;
    this.#wait.record(queuedMs);
  }

  snapshot(
    now: Pick<
      BatcherStats,
      "queued" | "queueLimit" | "delayMs" | "inFlight" | "backends" | "backendsUp" | "streams"
    >,
  ): BatcherStats {
    const { submitted, estimated, dropped, batches, inferenceMs, batchSizes, lastError } = this;
    return {
      submitted,
      estimated,
      dropped: { ...dropped },
      batches,
      inferenceMs,
      batchSizes: [...batchSizes],
      ...now,
      wait: latency(this.#wait),
      inference: latency(this.#inference),
      lastError,
    };
  }
}

const latency = (histogram: LatencyHistogram): LatencyStats => ({
  p50Ms: histogram.quantile(0.5),
  p99Ms: histogram.quantile(0.99),
});
