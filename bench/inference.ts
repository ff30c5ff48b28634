/** Measures what a window costs in the model: windows per CPU-second by batch size and by number of worker threads. */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { systemClock } from "../src/core/clock.ts";
import { TonetapError } from "../src/core/errors.ts";
import { monotonicMs, sampleIndex, wallMs } from "../src/core/units.ts";
import type { FeatureWindow } from "../src/core/window.ts";
import {
  type DeviceOption,
  DynamicBatcher,
  defaultModelDir,
  findModel,
  loadModelPackage,
  type ModelPackage,
  modelShape,
  OnnxBackend,
} from "../src/inference/index.ts";
import { benchArguments } from "./arguments.ts";
import { INFERENCE } from "./benches.ts";
import { backendTable, runBackendBench } from "./inference-backends.ts";
import { incrementalTable, runIncrementalBench } from "./inference-incremental.ts";
import { type LoadBenchRow, loadTable, runLoadBench } from "./inference-load.ts";

export interface InferenceBenchOptions {
  /** Bundled name or folder. Default: the bundled model. */
  readonly model?: string;
  readonly batches?: readonly number[];
  readonly workers?: readonly number[];
  /** Each setting is measured this often, in turn with the others; the median counts. Default 7. */
  readonly rounds?: number;
  /** Length of one measurement, ms. Default 400. */
  readonly measureMs?: number;
}

export interface InferenceBenchRow {
  readonly workers: number;
  readonly batch: number;
  /** Median over the rounds, of the whole process: batcher and this thread included. */
  readonly windowsPerCpuSecond: number;
  readonly windowsPerSecond: number;
  /** Time of a batch in the model, ms; median of the rounds' medians. */
  readonly batchMs: number;
  /** Windows a batch really had, mean. */
  readonly meanBatch: number;
  /** What the calling thread spends on a window (copy, queue, answer), µs of CPU. */
  readonly callerUsPerWindow: number;
  /** Slowest and fastest round. */
  readonly windowsPerCpuSecondRange: readonly [number, number];
}

export interface InferenceBenchReport {
  readonly bench: "inference";
  readonly model: string;
  readonly engine: string;
  readonly provider: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly rounds: number;
  readonly measureMs: number;
  readonly rows: readonly InferenceBenchRow[];
}

interface Setting {
  readonly workers: number;
  readonly batch: number;
  readonly perCpuSecond: number[];
  readonly perSecond: number[];
  readonly batchMs: number[];
  readonly meanBatch: number[];
  readonly callerUs: number[];
}

interface Measurement {
  readonly windows: number;
  readonly batches: number;
  readonly seconds: number;
  /** Of the whole process. */
  readonly cpuSeconds: number;
  /** Of this thread. */
  readonly callerCpuSeconds: number;
  readonly batchMs: number;
}

/** Windows go through the batcher and the threads exactly as in service; the load keeps every thread busy. */
export async function runInferenceBench(options: InferenceBenchOptions = {}): Promise<InferenceBenchReport> {
  const { batches = [1, 8, 32], workers = [1, 2], rounds = 7, measureMs = 400 } = options;
  const dir = options.model === undefined ? defaultModelDir() : await findModel(options.model);
  const model = await loadModelPackage(dir);
  const backends: OnnxBackend[] = [];
  try {
    for (let i = 0; i < Math.max(...workers); i++) {
      const backend = new OnnxBackend({ device: "cpu", maxBatch: Math.max(...batches) });
      backends.push(backend);
      await backend.load(model);
    }
    const settings = workers.flatMap((count) =>
      batches.map(
        (batch): Setting => ({
          workers: count,
          batch,
          perCpuSecond: [],
          perSecond: [],
          batchMs: [],
          meanBatch: [],
          callerUs: [],
        }),
      ),
    );
    // Interleaved, so that a noisy minute of the machine touches every setting alike; round 0 warms up.
    for (let round = 0; round <= rounds; round++) {
      for (const setting of settings) {
        const one = await measure(model, backends.slice(0, setting.workers), setting.batch, measureMs);
        if (round === 0) continue;
        setting.perCpuSecond.push(one.windows / one.cpuSeconds);
        setting.perSecond.push(one.windows / one.seconds);
        setting.batchMs.push(one.batchMs);
        setting.meanBatch.push(one.windows / one.batches);
        setting.callerUs.push((1e6 * one.callerCpuSeconds) / one.windows);
      }
    }
    const { engine, provider } = backends[0]?.describe() ?? { engine: "", provider: "" };
    return {
      bench: "inference",
      model: model.id,
      engine,
      provider,
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      node: process.version,
      rounds,
      measureMs,
      rows: settings.map((setting) => ({
        workers: setting.workers,
        batch: setting.batch,
        windowsPerCpuSecond: Math.round(median(setting.perCpuSecond)),
        windowsPerSecond: Math.round(median(setting.perSecond)),
        batchMs: Number(median(setting.batchMs).toFixed(3)),
        meanBatch: Number(median(setting.meanBatch).toFixed(1)),
        callerUsPerWindow: Number(median(setting.callerUs).toFixed(1)),
        windowsPerCpuSecondRange: [
          Math.round(Math.min(...setting.perCpuSecond)),
          Math.round(Math.max(...setting.perCpuSecond)),
        ],
      })),
    };
  } finally {
    for (const backend of backends) await backend.close();
  }
}

/** Keeps two batches a thread waiting or running for `measureMs`, and counts. */
async function measure(
  model: ModelPackage,
  backends: readonly OnnxBackend[],
  maxBatch: number,
  measureMs: number,
): Promise<Measurement> {
  const batcher = new DynamicBatcher({ manifest: model.manifest, backends, maxBatch, maxDelayMs: 0 });
  const window = benchWindow(model);
  const cpuBefore = process.cpuUsage();
  const callerBefore = process.threadCpuUsage();
  const startedMs = systemClock.now();
  const caller = async (key: string): Promise<void> => {
    while (systemClock.now() - startedMs < measureMs) await batcher.submit(key, window);
  };
  await Promise.all(Array.from({ length: 2 * maxBatch * backends.length }, (_, i) => caller(`${i}`)));
  const seconds = (systemClock.now() - startedMs) / 1_000;
  const cpuSeconds = inSeconds(process.cpuUsage(cpuBefore));
  const callerCpuSeconds = inSeconds(process.threadCpuUsage(callerBefore));
  const { estimated, batches, inference } = batcher.stats;
  await batcher.close();
  return { windows: estimated, batches, seconds, cpuSeconds, callerCpuSeconds, batchMs: inference.p50Ms };
}

const inSeconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6;

/** Full length, features of unit variance: what normalised speech looks like to the arithmetic. */
function benchWindow(model: ModelPackage): FeatureWindow {
  const { channels, frames } = modelShape(model.manifest);
  return {
    kind: "window",
    features: Float32Array.from({ length: channels * frames }, (_, i) => Math.SQRT2 * Math.sin(0.37 * i)),
    frames,
    index: 0,
    start: sampleIndex(0),
    end: sampleIndex(48_000),
    mediaStartMs: 0,
    mediaEndMs: 3_000,
    wallStartMs: wallMs(0),
    wallEndMs: wallMs(3_000),
    wallSource: "arrival",
    speechShare: 1,
    lossShare: 0,
    arrivalMs: monotonicMs(0),
  };
}

/** The report as a Markdown table. */
export function inferenceTable(report: InferenceBenchReport): string {
  const lines = report.rows.map(
    (row) =>
      `| ${row.workers} | ${row.batch} | ${row.windowsPerCpuSecond} (${row.windowsPerCpuSecondRange.join("–")}) | ${row.windowsPerSecond} | ${row.batchMs} | ${row.meanBatch} | ${row.callerUsPerWindow} |`,
  );
  return [
    `${report.model}, ${report.engine} ${report.provider}, ${report.cores} × ${report.cpu}, Node ${report.node}`,
    "",
    "| workers | batch | windows / CPU-s (range) | windows / s | ms a batch | mean batch | caller µs / window |",
    "|---:|---:|---:|---:|---:|---:|---:|",
    ...lines,
  ].join("\n");
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Half, three quarters, nearly all and more of what one window a batch can carry here. */
const LOADS = [0.5, 0.75, 0.95, 1.2];

/** Asked before minutes are spent on the processor. @returns undefined where the model runs on the device */
async function whyNotOn(device: DeviceOption, model: ModelPackage): Promise<string | undefined> {
  const backend = new OnnxBackend({ device, maxBatch: 1 });
  try {
    await backend.load(model);
    return undefined;
  } catch (error) {
    return TonetapError.from(error).message;
  } finally {
    await backend.close();
  }
}

async function loadRows(
  options: InferenceBenchOptions,
  device: DeviceOption,
): Promise<{ rows: LoadBenchRow[]; model: ModelPackage }> {
  const dir = options.model === undefined ? defaultModelDir() : await findModel(options.model);
  const model = await loadModelPackage(dir);
  const backend = new OnnxBackend({ device, maxBatch: 32 });
  try {
    await backend.load(model);
    const alone = await measure(model, [backend], 1, 1_000);
    const rates = LOADS.map((share) => Math.round((share * alone.windows) / alone.seconds));
    return { rows: await runLoadBench(model, backend, benchWindow(model), rates, 3_000), model };
  } finally {
    await backend.close();
  }
}

if (import.meta.main) {
  const { model, rounds, only, device, packages, json } = benchArguments(INFERENCE);
  const chosen = model === undefined ? {} : { model };
  const dir = model === undefined ? defaultModelDir() : await findModel(model);
  const bundle = await loadModelPackage(dir);
  const missing = await whyNotOn(device as DeviceOption, bundle);
  if (missing !== undefined) {
    console.error(
      `bench inference: ${missing}. docs/gpu.md says what it needs; without --device the processor is measured.`,
    );
    process.exit(1);
  }
  const incremental = await runIncrementalBench(bundle, benchWindow(bundle), rounds ?? 7, 300);
  console.log(
    incremental === undefined
      ? `${bundle.id} has no encoder and head: each window is judged whole\n`
      : `${incrementalTable(incremental)}\n`,
  );
  if (only === "incremental") process.exit(0);
  const report = await runInferenceBench({ ...chosen, ...(rounds === undefined ? {} : { rounds }) });
  console.log(inferenceTable(report));
  const load = await loadRows(chosen, device as DeviceOption);
  console.log(`\n${loadTable(load.rows)}`);
  const batches = [1, 8, 32, 128];
  const backends = await runBackendBench({
    model: load.model,
    batches,
    rounds: rounds ?? 3,
    measureMs: 500,
    packages: [packages ?? fileURLToPath(new URL("../test/peers", import.meta.url))],
  });
  console.log(`\n${backendTable(backends, batches)}`);
  if (json !== undefined) {
    await writeFile(
      json,
      `${JSON.stringify({ ...report, incremental, load: load.rows, backends }, null, 2)}\n`,
    );
  }
}
