/**
 * What a window costs in each engine that runs here, and the paper's network beside ours: windows per CPU-second by
 * batch size, in turns. How windows reach an engine in service is bench/inference.ts.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { systemClock } from "../src/core/clock.ts";
import { TonetapError } from "../src/core/errors.ts";
import {
  type InferenceBackend,
  KserveBackend,
  type ModelPackage,
  modelShape,
  OnnxBackend,
  TfjsBackend,
  WindowMemory,
} from "../src/inference/index.ts";
import { startKserveServer } from "../test/support/kserve-server.ts";
import { PAPER_MULTIPLY_ADDS, paperNetwork } from "./paper-network.ts";

export interface BackendBenchOptions {
  readonly model: ModelPackage;
  readonly batches: readonly number[];
  readonly rounds: number;
  /** Length of one measurement, ms; at least two batches. */
  readonly measureMs: number;
  /** Folders whose node_modules hold TensorFlow.js. */
  readonly packages: readonly string[];
}

export interface BackendBenchRow {
  readonly name: string;
  /** What ran: engine, version and provider; or why it did not. */
  readonly note: string;
  readonly batch: number;
  /** Medians over the rounds, of the whole process. Undefined where it did not run. */
  readonly windowsPerCpuSecond: number | undefined;
  readonly windowsPerSecond: number | undefined;
}

interface Contestant {
  readonly name: string;
  readonly model: ModelPackage;
  readonly maxBatch: number;
  readonly make: (maxBatch: number) => InferenceBackend;
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Batches of the paper's network at most: 1.1 G multiply-adds a window. */
const PAPER_BATCH = 32;

/** One engine at a time is open: they would share caches and threads. */
export async function runBackendBench(options: BackendBenchOptions): Promise<BackendBenchRow[]> {
  const { model, batches, packages } = options;
  const largest = Math.max(...batches);
  const paper = await paperNetwork();
  const onnx = (device: "cpu" | "cuda" | "tensorrt" | "webgpu") => (maxBatch: number) =>
    new OnnxBackend({ device, maxBatch, runTimeoutMs: 600_000 });
  const tfjs = (device: "auto" | "wasm") => (maxBatch: number) =>
    new TfjsBackend({ device, maxBatch, packages, runTimeoutMs: 600_000 });
  const contestants: Contestant[] = [
    { name: "onnx cpu", model, maxBatch: largest, make: onnx("cpu") },
    { name: "onnx cuda", model, maxBatch: largest, make: onnx("cuda") },
    { name: "onnx tensorrt", model, maxBatch: largest, make: onnx("tensorrt") },
    // Without a GPU it would run on a software one, for minutes.
    ...(existsSync("/dev/dri") || process.platform !== "linux"
      ? [{ name: "onnx webgpu", model, maxBatch: largest, make: onnx("webgpu") }]
      : []),
    { name: "tfjs", model, maxBatch: largest, make: tfjs("auto") },
    { name: "tfjs wasm", model, maxBatch: largest, make: tfjs("wasm") },
    { name: "paper's network, onnx cpu", model: paper, maxBatch: PAPER_BATCH, make: onnx("cpu") },
    { name: "paper's network, onnx cuda", model: paper, maxBatch: PAPER_BATCH, make: onnx("cuda") },
  ];
  const rows: BackendBenchRow[] = [];
  for (const contestant of contestants) rows.push(...(await runContestant(contestant, options)));
  rows.push(...(await runKserve(options)));
  rows.push(...runTorch(options));
  return rows;
}

/** A server of ours in another process, which runs ONNX Runtime on the processor. */
async function runKserve(options: BackendBenchOptions): Promise<BackendBenchRow[]> {
  const { model } = options;
  const server = await startKserveServer(model.onnxPath, model.manifest.name);
  const maxBatch = Math.max(...options.batches);
  try {
    const rows: BackendBenchRow[] = [];
    for (const protocol of ["http", "grpc"] as const) {
      const make = (most: number): InferenceBackend =>
        new KserveBackend({ url: server[protocol], maxBatch: most, requestTimeoutMs: 600_000 });
      const name = `kserve over ${protocol}, the client's CPU alone`;
      rows.push(...(await runContestant({ name, model, maxBatch, make }, options)));
    }
    return rows;
  } finally {
    await server.stop();
  }
}

async function runContestant(
  { name, model, maxBatch, make }: Contestant,
  { batches, rounds, measureMs }: BackendBenchOptions,
): Promise<BackendBenchRow[]> {
  const sizes = batches.filter((batch) => batch <= maxBatch);
  const backend = make(Math.max(...sizes));
  try {
    await backend.load(model);
  } catch (error) {
    await backend.close();
    const note = TonetapError.from(error).message;
    return [{ name, note, batch: 0, windowsPerCpuSecond: undefined, windowsPerSecond: undefined }];
  }
  try {
    const { engine, provider } = backend.describe();
    const results = sizes.map(() => ({ perCpu: [] as number[], perSecond: [] as number[] }));
    const { memory, out } = windows(model, Math.max(...sizes));
    for (let round = 0; round < rounds; round++) {
      for (const [i, batch] of sizes.entries()) {
        const { perCpu, perSecond } = await measure(backend, memory, out, batch, measureMs);
        results[i]?.perCpu.push(perCpu);
        results[i]?.perSecond.push(perSecond);
      }
    }
    return sizes.map((batch, i) => ({
      name,
      note: `${engine}, ${provider}`,
      batch,
      windowsPerCpuSecond: median(results[i]?.perCpu ?? []),
      windowsPerSecond: median(results[i]?.perSecond ?? []),
    }));
  } finally {
    await backend.close();
  }
}

function windows(model: ModelPackage, count: number): { memory: WindowMemory; out: Float32Array } {
  const shape = modelShape(model.manifest);
  const memory = new WindowMemory(count, shape);
  const features = Float32Array.from(
    { length: shape.channels * shape.frames },
    (_, i) => 1.4 * Math.sin(0.37 * i),
  );
  for (let row = 0; row < count; row++) memory.write(row, features, shape.frames);
  return { memory, out: new Float32Array(count * shape.labels) };
}

async function measure(
  backend: InferenceBackend,
  memory: WindowMemory,
  out: Float32Array,
  batch: number,
  measureMs: number,
): Promise<{ perCpu: number; perSecond: number }> {
  const rows = Array.from({ length: batch }, (_, row) => row);
  const cpuBefore = process.cpuUsage();
  const startedMs = systemClock.now();
  let done = 0;
  while (done < 2 * batch || systemClock.now() - startedMs < measureMs) {
    await backend.run({ memory, rows }, out);
    done += batch;
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    perCpu: done / ((user + system) / 1e6),
    perSecond: done / ((systemClock.now() - startedMs) / 1_000),
  };
}

/** PyTorch runs the network of training/model.py with made-up weights, on one thread. */
function runTorch({ batches, measureMs, rounds, model }: BackendBenchOptions): BackendBenchRow[] {
  const script = here("./torch_inference.py");
  const { channels } = modelShape(model.manifest);
  const pythons = [process.env.TONETAP_PYTHON, here("../.venv/bin/python"), "python3"];
  for (const python of pythons) {
    if (python === undefined) continue;
    const args = [script, String(channels), String(rounds), String(measureMs), ...batches.map(String)];
    const { status, stdout } = spawnSync(python, args, { encoding: "utf8" });
    if (status !== 0) continue;
    const { version, results } = JSON.parse(stdout) as {
      version: string;
      results: { batch: number; perCpu: number; perSecond: number }[];
    };
    return results.map(({ batch, perCpu, perSecond }) => ({
      name: "PyTorch cpu",
      note: `torch ${version}, training/model.py`,
      batch,
      windowsPerCpuSecond: perCpu,
      windowsPerSecond: perSecond,
    }));
  }
  console.warn("*** SKIPPED: PyTorch. No python with torch; TONETAP_PYTHON may name one.");
  return [];
}

/** As a Markdown table: a row an engine, a column a batch size. */
export function backendTable(rows: readonly BackendBenchRow[], batches: readonly number[]): string {
  const names = [...new Set(rows.map(({ name }) => name))];
  const cell = (name: string, batch: number): string => {
    const row = rows.find((one) => one.name === name && one.batch === batch);
    if (row?.windowsPerCpuSecond === undefined) return "–";
    return `${figure(row.windowsPerCpuSecond)} (${figure(row.windowsPerSecond ?? 0)})`;
  };
  const lines = names.map((name) => {
    const note = rows.find((row) => row.name === name)?.note ?? "";
    return `| ${name} | ${batches.map((batch) => cell(name, batch)).join(" | ")} | ${note} |`;
  });
  return [
    "Windows per CPU-second (and per second), by windows in a batch:",
    "",
    `| engine | ${batches.join(" | ")} | |`,
    `|---|${batches.map(() => "---:").join("|")}|---|`,
    ...lines,
    "",
    ratio(rows),
  ].join("\n");
}

function ratio(rows: readonly BackendBenchRow[]): string {
  const best = (name: string): number =>
    Math.max(0, ...rows.filter((row) => row.name === name).map((row) => row.windowsPerCpuSecond ?? 0));
  const [ours, theirs] = [best("onnx cpu"), best("paper's network, onnx cpu")];
  return `A CPU-second judges ${(ours / theirs).toFixed(0)} × as many windows as with the paper's network (${(PAPER_MULTIPLY_ADDS / 1e9).toFixed(2)} G multiply-adds), each at its best batch size.`;
}

const figure = (value: number): string => (value < 10 ? value.toFixed(1) : value.toFixed(0));

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
