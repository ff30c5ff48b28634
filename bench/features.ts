/**
 * What a feature frame costs: the WASM kernel, the float64 reference and meyda, in turns in one process, in CPU time
 * of this thread, so that a busy machine disturbs little and all alike. Run by `node bench/features.ts`; prints a
 * table, then one line of JSON.
 */
import { cpus } from "node:os";
import { setImmediate } from "node:timers/promises";
import { DEFAULT_FEATURE_SPEC, type FeatureSpec } from "../src/core/feature-spec.ts";
import {
  createFeatureExtractor,
  type FeatureExtractor,
  type FeatureExtractorOptions,
} from "../src/stream/features/index.ts";
import { benchArguments } from "./arguments.ts";
import { FEATURES } from "./benches.ts";

/** Rounds of every contender, after WARM_UP_ROUNDS that are thrown away. */
const ROUNDS = 11;
const WARM_UP_ROUNDS = 3;
/** Samples of one packet. */
const PACKET_SAMPLES = 320;
const WINDOW_FRAMES = 300;
/** Windows copied in one round. */
const COPIES = 2000;

/** meyda's frames are as long as its FFT, and its bands span everything; the number of values is the same. */
const MEYDA_SPEC: FeatureSpec = {
  ...DEFAULT_FEATURE_SPEC,
  extractor: "meyda",
  frameLength: 512,
  melLowHz: 0,
  melHighHz: 8000,
};

interface Contender {
  readonly name: string;
  readonly spec: FeatureSpec;
  readonly options: FeatureExtractorOptions;
  /** Participants, each pushed one packet in turn as calls do: their state does not stay in the first-level cache. */
  readonly participants: number;
  /** Packets a participant gets in one round. */
  readonly packets: number;
}

const CONTENDERS: readonly Contender[] = [
  { name: "fast", spec: DEFAULT_FEATURE_SPEC, options: {}, participants: 50, packets: 600 },
  {
    name: "fast, nothing held back",
    spec: DEFAULT_FEATURE_SPEC,
    options: { maxHoldFrames: 0 },
    participants: 50,
    packets: 600,
  },
  {
    name: "reference",
    spec: DEFAULT_FEATURE_SPEC,
    options: { implementation: "reference" },
    participants: 2,
    packets: 150,
  },
  { name: "meyda", spec: MEYDA_SPEC, options: {}, participants: 2, packets: 60 },
];

export interface FeaturesBenchRow {
  readonly name: string;
  /** Median over rounds, CPU µs a frame. */
  readonly frameMicros: number;
  /** Median over rounds, CPU µs to copy a window of 300 frames out for the model. */
  readonly windowCopyMicros: number;
  /** Fastest round, CPU µs a frame. */
  readonly bestFrameMicros: number;
}

export interface FeaturesBench {
  readonly bench: "features";
  readonly cpu: string;
  readonly node: string;
  readonly channels: number;
  readonly rounds: number;
  readonly rows: readonly FeaturesBenchRow[];
}

/** One second of noise in syllables; what the samples are does not change the cost. */
const AUDIO = Float32Array.from({ length: 16_000 }, (_, n) => {
  const hash = (Math.imul(n ^ (n >>> 7), 0x9e3779b1) >>> 0) / 2 ** 31 - 1;
  return 0.3 * hash * Math.max(0, Math.sin(n / 1000));
});
const PACKETS = Array.from({ length: AUDIO.length / PACKET_SAMPLES }, (_, i) =>
  AUDIO.subarray(i * PACKET_SAMPLES, (i + 1) * PACKET_SAMPLES),
);

export async function runFeaturesBench(): Promise<FeaturesBench> {
  const runs = CONTENDERS.map((contender) => ({
    contender,
    extractors: Array.from({ length: contender.participants }, () =>
      createFeatureExtractor(contender.spec, contender.options),
    ),
    frameMicros: [] as number[],
    copyMicros: [] as number[],
  }));
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    for (const { contender, extractors, frameMicros, copyMicros } of runs) {
      const frame = timePushes(extractors, contender.packets);
      const copy = timeCopies(extractors);
      if (round < 0) continue;
      frameMicros.push(frame);
      copyMicros.push(copy);
    }
    // Lets timers and the collector of garbage run between rounds.
    await setImmediate();
  }
  for (const { extractors } of runs) for (const extractor of extractors) extractor.close();
  return {
    bench: "features",
    cpu: cpus()[0]?.model ?? "unknown",
    node: process.version,
    channels: runs[0]?.extractors[0]?.channels ?? 0,
    rounds: ROUNDS,
    rows: runs.map(({ contender, frameMicros, copyMicros }) => ({
      name: contender.name,
      frameMicros: median(frameMicros),
      bestFrameMicros: Math.min(...frameMicros),
      windowCopyMicros: median(copyMicros),
    })),
  };
}

/** CPU time that this thread has used, µs. */
function cpuMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** µs a frame. */
function timePushes(extractors: readonly FeatureExtractor[], packets: number): number {
  const before = extractors.reduce((sum, extractor) => sum + extractor.completed, 0);
  const start = cpuMicros();
  for (let i = 0; i < packets; i++) {
    const packet = PACKETS[i % PACKETS.length] ?? AUDIO;
    for (const extractor of extractors) extractor.push(packet);
  }
  const elapsedMicros = cpuMicros() - start;
  const frames = extractors.reduce((sum, extractor) => sum + extractor.completed, 0) - before;
  return elapsedMicros / frames;
}

/** µs a window. */
function timeCopies(extractors: readonly FeatureExtractor[]): number {
  const out = new Float32Array((extractors[0]?.channels ?? 0) * WINDOW_FRAMES);
  const ready = extractors.filter((extractor) => extractor.completed >= WINDOW_FRAMES);
  const start = cpuMicros();
  for (let i = 0; i < COPIES; i++) {
    const extractor = ready[i % ready.length];
    extractor?.copy(extractor.completed - WINDOW_FRAMES, WINDOW_FRAMES, out, WINDOW_FRAMES);
  }
  return (cpuMicros() - start) / COPIES;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function table(result: FeaturesBench): string {
  const header = ["extractor", "µs a frame", "best round", "µs a window copied"];
  const rows = result.rows.map((row) => [
    row.name,
    row.frameMicros.toFixed(2),
    row.bestFrameMicros.toFixed(2),
    row.windowCopyMicros.toFixed(1),
  ]);
  const widths = header.map((text, i) => Math.max(text.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((text, i) => (i === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[i] ?? 0)))
        .join("  "),
    )
    .join("\n");
}

if (import.meta.main) {
  benchArguments(FEATURES);
  const result = await runFeaturesBench();
  console.log(`${result.channels} features a frame, packets of 20 ms, ${result.cpu}, Node ${result.node}`);
  console.log(`medians of ${result.rounds} interleaved rounds, CPU time\n`);
  console.log(table(result));
  console.log(`\n${JSON.stringify(result)}`);
}
