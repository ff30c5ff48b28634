/**
 * A streaming backend in plain TypeScript whose answers show which frames a window was judged by: a running mixture of
 * all frames of its stream. One channel, steps of 5 frames, windows of 20.
 */
import { type Clock, sleep } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import type { ModelManifest } from "../../src/core/model.ts";
import { roomForSteps } from "../../src/inference/held-steps.ts";
import {
  type BackendDescription,
  type BatchTiming,
  type InferenceBackend,
  type ModelPackage,
  modelShape,
  type StreamMemory,
  type WindowBatch,
} from "../../src/inference/index.ts";
import { type StreamModel, StreamRunner } from "../../src/inference/stream-runner.ts";
import { SMALL_MANIFEST } from "./fixtures.ts";

export const ECHO_STREAMING = { strideFrames: 5, stateSize: 1, embeddingChannels: 1, steps: 4 };
export const ECHO_MANIFEST: ModelManifest = {
  ...SMALL_MANIFEST,
  name: "echo",
  files: { onnx: "model.onnx", encoder: "encoder.onnx", head: "head.onnx" },
  features: { ...SMALL_MANIFEST.features, mfcc: 1 },
  window: { frames: 20, minFrames: 5 },
  temperature: 1,
  streaming: ECHO_STREAMING,
};
const ECHO_MODEL: ModelPackage = { manifest: ECHO_MANIFEST, onnxPath: "/nowhere", id: "echo@1.0.0" };

/** One step: what came before it counts for a little less. */
const mixed = (state: number, frames: Float32Array): number =>
  Math.fround(0.8 * state + frames.reduce((sum, x, i) => sum + x * (1 + 0.1 * i), 0));

/** Logits of the last 4 embeddings; each place has its weight. */
const headOf = (embeddings: readonly number[]): number[] => {
  const last = embeddings.slice(-4);
  const sum = last.reduce((total, x, i) => total + x * (i + 1), 0);
  return [Math.sin(sum), Math.cos(sum), last.length / 4];
};

/** What a window is judged whose stream began with the first of these frames, one value each. */
export function echoLogits(frames: Float32Array): number[] {
  const embeddings: number[] = [];
  let state = 0;
  for (let t = 0; t < frames.length; t += 5) {
    state = mixed(state, frames.subarray(t, t + 5));
    embeddings.push(state);
  }
  return headOf(embeddings);
}

/** Everything that the runner hands to it or is given by it is kept, to see that it is wiped. */
export class EchoModel implements StreamModel {
  readonly handed: Float32Array[] = [];
  /** Windows and frames of each run of the encoder. */
  readonly encoded: (readonly [count: number, frames: number])[] = [];

  async encode(features: Float32Array, states: Float32Array, count: number, frames: number) {
    this.handed.push(features, states);
    this.encoded.push([count, frames]);
    const steps = frames / 5;
    const embeddings = new Float32Array(count * steps);
    const next = states.slice();
    for (let n = 0; n < count; n++) {
      for (let step = 0; step < steps; step++) {
        const first = n * frames + step * 5;
        const state = mixed(next[n] ?? 0, features.subarray(first, first + 5));
        next[n] = state;
        embeddings[n * steps + step] = state;
      }
    }
    this.handed.push(embeddings, next);
    return { embeddings, states: next };
  }

  async judge(embeddings: Float32Array, mask: Float32Array, count: number): Promise<Float32Array> {
    this.handed.push(embeddings, mask);
    const logits = Array.from({ length: count }, (_, n) => {
      const valid = mask.subarray(n * 4, (n + 1) * 4).reduce((sum, x) => sum + x, 0);
      if (embeddings.subarray(n * 4 + valid, (n + 1) * 4).some((x) => x !== 0)) {
        throw new TonetapError("internal", "a step that is not valid is not zero");
      }
      return headOf([...embeddings.subarray(n * 4, n * 4 + valid)]);
    });
    const result = Float32Array.from(logits.flat());
    this.handed.push(result);
    return result;
  }
}

export interface EchoBackendOptions {
  readonly clock: Clock;
  readonly maxBatch?: number;
  readonly batchMs?: number;
  /** Asked when a batch has been computed: an error loses its results. `unavailable` takes it down until revive(). */
  readonly failure?: () => TonetapError | undefined;
}

export class EchoBackend implements InferenceBackend {
  readonly maxBatch: number;
  readonly streams = ECHO_STREAMING;
  readonly model = new EchoModel();
  /** Of the batches so far. */
  memory: StreamMemory | undefined;
  readonly #options: EchoBackendOptions;
  readonly #runner: StreamRunner;
  #up = true;
  #tail: Promise<unknown> = Promise.resolve();
  #revival = Promise.withResolvers<void>();

  constructor(options: EchoBackendOptions) {
    this.#options = options;
    this.maxBatch = options.maxBatch ?? 4;
    this.#runner = new StreamRunner(this.model, modelShape(ECHO_MANIFEST), ECHO_STREAMING, this.maxBatch);
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  run(batch: WindowBatch, out: Float32Array): Promise<BatchTiming> {
    if (!this.#up) return Promise.reject(new TonetapError("unavailable", "down"));
    const turn = this.#tail.then(() => this.#compute(batch, out));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #compute({ memory, rows, streams }: WindowBatch, out: Float32Array): Promise<BatchTiming> {
    const { clock, batchMs = 0, failure } = this.#options;
    const results = {
      logits: new Float32Array(3 * this.maxBatch),
      states: new Float32Array(this.maxBatch),
      embeddings: roomForSteps(4 * this.maxBatch, 1),
    };
    this.memory = streams?.memory ?? this.memory;
    const windows = rows.flatMap((row, index) => {
      const part = streams?.parts[index];
      if (part !== undefined) return [{ index, row, part }];
      const valid = memory.masks.subarray(row * 20, (row + 1) * 20).reduce((sum, x) => sum + x, 0);
      results.logits.set(echoLogits(memory.features.slice(row * 20, row * 20 + valid)), 3 * index);
      return [];
    });
    if (streams !== undefined) await this.#runner.run(windows, memory, streams.memory, results);
    if (batchMs > 0) await sleep(clock, batchMs);
    const error = failure?.();
    if (error !== undefined) {
      if (error.code === "unavailable") this.#up = false;
      throw error;
    }
    out.set(results.logits.subarray(0, 3 * rows.length));
    for (const { index, part } of windows) {
      streams?.memory.commit(part, results.states.subarray(index), results.embeddings, 4 * index);
    }
    return { inferenceMs: batchMs };
  }

  /** Ends an `unavailable` failure. */
  revive(): void {
    this.#up = true;
    this.#revival.resolve();
    this.#revival = Promise.withResolvers<void>();
  }

  async ready(signal?: AbortSignal): Promise<void> {
    if (this.#up) return;
    const revival = this.#revival;
    signal?.addEventListener("abort", () => revival.reject(new TonetapError("closed", "aborted")), {
      once: true,
    });
    await revival.promise;
  }

  describe(): BackendDescription {
    return {
      engine: "echo",
      state: this.#up ? "ready" : "restarting",
      requested: "cpu",
      device: "cpu",
      provider: "cpu",
      tried: [],
      threads: 1,
      model: ECHO_MODEL.id,
      restarts: 0,
      lastError: "",
    };
  }

  async close(): Promise<void> {
    await this.#tail;
  }
}
