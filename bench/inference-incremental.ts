/**
 * What a window costs when it is judged whole and when it is judged by its new frames, by hop and batch, in turns; and
 * the paper's network beside them. Windows go through the batcher and the thread as in service; making them is not in it.
 */
import { systemClock } from "../src/core/clock.ts";
import { SAMPLES_PER_MS, sampleIndex } from "../src/core/units.ts";
import type { FeatureWindow } from "../src/core/window.ts";
import { DynamicBatcher, type ModelPackage, modelShape, OnnxBackend } from "../src/inference/index.ts";
import { paperNetwork } from "./paper-network.ts";

export interface IncrementalBenchRow {
  /** ms; 0: windows judged whole, whatever the hop. */
  readonly hopMs: number;
  readonly batch: number;
  /** Median over the rounds, of the whole process. */
  readonly cpuUsPerWindow: number;
  readonly range: readonly [number, number];
}

export interface IncrementalBench {
  readonly rows: readonly IncrementalBenchRow[];
  /** CPU of a window in the paper's network, batch 8, µs. */
  readonly paperUs: number;
}

const HOPS_MS = [0, 1_000, 500, 250, 100];
const BATCHES = [8, 32];

/** @returns undefined for a package without encoder and head */
export async function runIncrementalBench(
  model: ModelPackage,
  window: FeatureWindow,
  rounds: number,
  measureMs: number,
): Promise<IncrementalBench | undefined> {
  if (model.manifest.streaming === undefined) return undefined;
  const paper = await paperNetwork();
  const backend = new OnnxBackend({ device: "cpu", maxBatch: Math.max(...BATCHES) });
  const paperBackend = new OnnxBackend({ device: "cpu", maxBatch: 8, runTimeoutMs: 600_000 });
  try {
    await backend.load(model);
    await paperBackend.load(paper);
    const settings = BATCHES.flatMap((batch) =>
      HOPS_MS.map((hopMs) => ({ hopMs, batch, us: [] as number[] })),
    );
    const paperUs: number[] = [];
    const { channels, frames } = modelShape(paper.manifest);
    const paperWindow = { ...window, features: new Float32Array(channels * frames).fill(0.5), frames };
    // Round 0 warms up.
    for (let round = 0; round <= rounds; round++) {
      for (const { hopMs, batch, us } of settings) {
        const one = await cpuUsPerWindow(model, backend, window, hopMs, batch, measureMs);
        if (round > 0) us.push(one);
      }
      const one = await cpuUsPerWindow(paper, paperBackend, paperWindow, 0, 8, measureMs);
      if (round > 0) paperUs.push(one);
    }
    return {
      rows: settings.map(({ hopMs, batch, us }) => ({
        hopMs,
        batch,
        cpuUsPerWindow: Math.round(median(us)),
        range: [Math.round(Math.min(...us)), Math.round(Math.max(...us))],
      })),
      paperUs: Math.round(median(paperUs)),
    };
  } finally {
    await backend.close();
    await paperBackend.close();
  }
}

/** Two batches of voices, each of which sends its next window when it has the answer to the last. */
async function cpuUsPerWindow(
  model: ModelPackage,
  backend: OnnxBackend,
  window: FeatureWindow,
  hopMs: number,
  maxBatch: number,
  measureMs: number,
): Promise<number> {
  const batcher = new DynamicBatcher({
    manifest: model.manifest,
    backends: [backend],
    maxBatch,
    maxDelayMs: 0,
  });
  const { hopLength } = model.manifest.features;
  const fresh = (hopMs * SAMPLES_PER_MS) / hopLength;
  const freshFeatures = window.features.slice(0, modelShape(model.manifest).channels * fresh);
  const following = (number: number): FeatureWindow => {
    if (hopMs === 0) return window;
    const end = sampleIndex(window.end + number * fresh * hopLength);
    return number === 0 ? { ...window, end, fresh: window.frames } : { ...window, end, fresh, freshFeatures };
  };
  let until = Number.POSITIVE_INFINITY;
  let number = 0;
  const voices = Array.from({ length: 2 * maxBatch }, (_, i) => `${i}`);
  const goOn = async (key: string, first: number): Promise<void> => {
    for (let n = first; systemClock.now() < until; n++) await batcher.submit(key, following(n));
  };
  // Where streams begin, all frames are new: that is not what is measured.
  await Promise.all(voices.map((key) => batcher.submit(key, following(number))));
  number++;
  const before = batcher.stats.estimated;
  const cpuBefore = process.cpuUsage();
  until = systemClock.now() + measureMs;
  await Promise.all(voices.map((key) => goOn(key, number)));
  const { user, system } = process.cpuUsage(cpuBefore);
  const windows = batcher.stats.estimated - before;
  await batcher.close();
  return (user + system) / windows;
}

/** As a Markdown table. */
export function incrementalTable({ rows, paperUs }: IncrementalBench): string {
  const lines = BATCHES.flatMap((batch) => {
    const whole = rows.find((row) => row.batch === batch && row.hopMs === 0)?.cpuUsPerWindow ?? Number.NaN;
    return rows
      .filter((row) => row.batch === batch && row.hopMs > 0)
      .map(({ hopMs, cpuUsPerWindow: us, range }) => {
        const paper = (paperUs / us).toFixed(0);
        return `| ${hopMs / 1_000} s | ${batch} | ${whole} | ${us} (${range.join("–")}) | ${(whole / us).toFixed(1)} × | ${paper} × |`;
      });
  });
  return [
    `CPU µs a window, judged whole and by its new frames; the paper's network takes ${paperUs} µs:`,
    "",
    "| hop | batch | whole | new frames (range) | gain | the paper's network |",
    "|---:|---:|---:|---:|---:|---:|",
    ...lines,
  ].join("\n");
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
