/** Chooses batch size and delay for a latency target, from what a device's batches were measured to take. Sending them is batcher.ts. */
import type { Clock } from "../core/clock.ts";
import { assertRange } from "../core/errors.ts";
import type { BatchStreams, InferenceBackend } from "./backend.ts";
import { roomForSteps } from "./held-steps.ts";
import { StreamMemory } from "./stream-memory.ts";
import { type ModelShape, WindowMemory } from "./window-memory.ts";

/** What a batch of so many windows takes. */
export interface BatchPoint {
  readonly windows: number;
  /** Time in the model, ms. */
  readonly ms: number;
}

export interface BatchPlan {
  readonly maxBatch: number;
  /** On a busy machine; an idle one may wait less. */
  readonly maxDelayMs: number;
  /** Longest time from a window's coming to its answer while the device keeps up, ms. */
  readonly longestMs: number;
  /** False where even a single window takes longer than the target: the plan is the quickest one there is. */
  readonly meetsTarget: boolean;
}

export interface BatchGoal {
  /** Longest time from a window's coming to its answer, ms. 1–60,000. */
  readonly latencyTargetMs: number;
  /** Limits of what may be chosen. */
  readonly maxBatch: number;
  readonly maxDelayMs: number;
}

/** Sizes this much slower a window than the best are as good: a smaller batch answers sooner. */
const TOLERANCE = 1.05;
/** Runs of each size; the median counts. */
const RUNS = 3;

/**
 * A window that comes just after a batch went out waits for that one, then runs in its own: 2 · ms(size), and the
 * delay on top where the device was idle. Among the sizes with 2 · ms ≤ target it takes the one with the most windows
 * a second, the smallest of those that are nearly as good; what the target leaves over is the delay, up to its limit.
 * @param curve at least one point
 */
export function planBatches(curve: readonly BatchPoint[], goal: BatchGoal): BatchPlan {
  const { latencyTargetMs, maxBatch, maxDelayMs } = goal;
  assertRange("latencyTargetMs", latencyTargetMs, 1, 60_000, "ms");
  const points = curve.filter(({ windows }) => windows <= maxBatch).toSorted((a, b) => a.windows - b.windows);
  assertRange("points of the batch curve", points.length, 1, 10_000);
  const quick = points.filter(({ ms }) => 2 * ms <= latencyTargetMs);
  const costs = (quick.length > 0 ? quick : points.slice(0, 1)).map(({ windows, ms }) => ({
    windows,
    ms,
    perWindow: ms / windows,
  }));
  const cheapest = Math.min(...costs.map(({ perWindow }) => perWindow));
  const chosen = costs.find(({ perWindow }) => perWindow <= cheapest * TOLERANCE);
  const windows = chosen?.windows ?? 1;
  const busyMs = 2 * (chosen?.ms ?? 0);
  const delayMs = windows === 1 ? 0 : Math.min(maxDelayMs, Math.max(0, latencyTargetMs - busyMs));
  return {
    maxBatch: windows,
    maxDelayMs: delayMs,
    longestMs: busyMs + delayMs,
    meetsTarget: quick.length > 0,
  };
}

/** Sizes that are measured for a limit: the powers of two below it, and itself. */
export function measuredSizes(maxBatch: number): readonly number[] {
  const sizes: number[] = [];
  for (let size = 1; size < maxBatch; size *= 2) sizes.push(size);
  return [...sizes, maxBatch];
}

/**
 * Times a loaded backend that does nothing else meanwhile. Takes about 8 batches of the largest size.
 * @param stepFrames where windows are judged by their streams: the frames that one adds
 * @throws TonetapError as the backend's run()
 */
export async function measureBatchCurve(
  backend: InferenceBackend,
  shape: ModelShape,
  clock: Clock,
  signal?: AbortSignal,
  stepFrames?: number,
): Promise<BatchPoint[]> {
  const memory = new WindowMemory(backend.maxBatch, shape);
  const silence = new Float32Array(shape.channels * shape.frames);
  for (let row = 0; row < memory.rows; row++) memory.write(row, silence, shape.frames);
  const out = new Float32Array(backend.maxBatch * shape.labels);
  const streams = stepFrames === undefined ? undefined : fullStreams(backend, stepFrames);
  const curve: BatchPoint[] = [];
  for (const windows of measuredSizes(backend.maxBatch)) {
    const rows = Array.from({ length: windows }, (_, row) => row);
    const times: number[] = [];
    // The first run of a size may still allocate.
    for (let run = 0; run <= RUNS; run++) {
      const startedMs = clock.now();
      await backend.run({ memory, rows, ...streams?.(windows) }, out, signal);
      // What a window waits for is the whole way there and back, not the model's share of it.
      if (run > 0) times.push(clock.now() - startedMs);
    }
    times.sort((a, b) => a - b);
    curve.push({ windows, ms: times[RUNS >> 1] ?? 0 });
  }
  return curve;
}

/** Batches in which every window adds `frames` to a stream that is full. */
function fullStreams(
  { streams: shape, maxBatch }: InferenceBackend,
  frames: number,
): ((windows: number) => { readonly streams: BatchStreams }) | undefined {
  if (shape === undefined) return undefined;
  const memory = new StreamMemory(maxBatch, shape);
  const { stateSize, steps, embeddingChannels, strideFrames } = shape;
  const slots = Array.from({ length: maxBatch }, () => memory.take() ?? 0);
  for (const slot of slots) {
    const whole = memory.part(slot, { frames: steps * strideFrames, offset: 0, stride: frames }, false);
    memory.commit(whole, new Float32Array(stateSize), roomForSteps(steps, embeddingChannels), 0);
  }
  return (windows) => ({
    streams: {
      memory,
      parts: slots
        .slice(0, windows)
        .map((slot) => memory.part(slot, { frames, offset: 0, stride: frames }, true)),
    },
  });
}
