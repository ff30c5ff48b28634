/** Latency against load, with batching on and off: windows come at random, as from many calls. */
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../src/core/clock.ts";
import { LatencyHistogram } from "../src/core/histogram.ts";
import type { FeatureWindow } from "../src/core/window.ts";
import { DynamicBatcher, type InferenceBackend, type ModelPackage } from "../src/inference/index.ts";

export interface LoadBenchRow {
  readonly batching: boolean;
  /** Asked for. */
  readonly windowsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly meanBatch: number;
  /** Dropped, of all. */
  readonly droppedShare: number;
  /** Of the whole process. */
  readonly cpuUsPerWindow: number;
}

export async function runLoadBench(
  model: ModelPackage,
  backend: InferenceBackend,
  window: FeatureWindow,
  rates: readonly number[],
  measureMs: number,
): Promise<LoadBenchRow[]> {
  const rows: LoadBenchRow[] = [];
  for (const rate of rates) {
    for (const batching of [false, true]) {
      rows.push(await measure(model, backend, window, rate, batching, measureMs));
    }
  }
  return rows;
}

async function measure(
  model: ModelPackage,
  backend: InferenceBackend,
  window: FeatureWindow,
  rate: number,
  batching: boolean,
  measureMs: number,
): Promise<LoadBenchRow> {
  const limits = batching
    ? { maxBatch: Math.min(32, backend.maxBatch), maxDelayMs: 5 }
    : { maxBatch: 1, maxDelayMs: 0 };
  const batcher = new DynamicBatcher({ manifest: model.manifest, backends: [backend], ...limits });
  const latency = new LatencyHistogram();
  const answers: Promise<void>[] = [];
  let dropped = 0;
  const ask = async (call: number): Promise<void> => {
    const startedMs = systemClock.now();
    const { kind } = await batcher.submit(`call ${call}`, window);
    if (kind === "dropped") dropped++;
    else latency.record(systemClock.now() - startedMs);
  };
  const cpuBefore = process.cpuUsage();
  const startedMs = systemClock.now();
  // Exponential gaps: calls know nothing of each other. The sequence is the same for every setting.
  let seed = 1;
  let dueMs = 0;
  for (let nowMs = 0; nowMs < measureMs; nowMs = systemClock.now() - startedMs) {
    for (; dueMs <= nowMs; answers.push(ask(answers.length % 200))) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      dueMs += (-Math.log((seed + 1) / 2 ** 32) * 1_000) / rate;
    }
    await wait(1);
  }
  await Promise.all(answers);
  const { user, system } = process.cpuUsage(cpuBefore);
  const { estimated, batches } = batcher.stats;
  await batcher.close();
  return {
    batching,
    windowsPerSecond: rate,
    p50Ms: latency.quantile(0.5),
    p99Ms: latency.quantile(0.99),
    meanBatch: estimated / Math.max(1, batches),
    droppedShare: dropped / Math.max(1, answers.length),
    cpuUsPerWindow: (user + system) / Math.max(1, answers.length),
  };
}

export function loadTable(rows: readonly LoadBenchRow[]): string {
  const lines = rows.map(
    (row) =>
      `| ${row.windowsPerSecond} | ${row.batching ? "on" : "off"} | ${row.p50Ms.toFixed(1)} | ${row.p99Ms.toFixed(1)} | ${row.meanBatch.toFixed(1)} | ${(100 * row.droppedShare).toFixed(1)} % | ${row.cpuUsPerWindow.toFixed(0)} |`,
  );
  return [
    "Latency against load, windows at random from 200 calls, one worker; batching off: one window a batch, no delay:",
    "",
    "| windows / s | batching | p50 ms | p99 ms | mean batch | dropped | CPU µs / window |",
    "|---:|---|---:|---:|---:|---:|---:|",
    ...lines,
  ].join("\n");
}
