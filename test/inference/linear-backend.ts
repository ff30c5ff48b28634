/** A backend in plain TypeScript whose every number can be checked by hand: logit l is the mean of feature l over the valid frames. */

import { type Clock, sleep } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import type {
  BackendDescription,
  BatchTiming,
  InferenceBackend,
  WindowBatch,
} from "../../src/inference/index.ts";
import { type ModelPackage, type ModelShape, modelShape } from "../../src/inference/index.ts";

export interface LinearBackendOptions {
  readonly clock: Clock;
  readonly maxBatch?: number;
  /** What a batch of n windows takes, ms of the clock. */
  readonly batchMs?: (windows: number) => number;
  /** Asked before every batch: an error to fail it with. `unavailable` takes the backend down until revive(). */
  readonly failure?: (batchNumber: number) => TonetapError | undefined;
}

/** Runs one batch after the other, as one thread does. */
export class LinearBackend implements InferenceBackend {
  readonly maxBatch: number;
  /** Sizes of the batches that it began, in order. */
  readonly begun: number[] = [];
  readonly #options: LinearBackendOptions;
  #model: ModelPackage | undefined;
  #shape: ModelShape | undefined;
  #state: BackendDescription["state"] = "new";
  #tail: Promise<unknown> = Promise.resolve();
  #asked = 0;
  #revival = Promise.withResolvers<void>();

  constructor(options: LinearBackendOptions) {
    this.#options = options;
    this.maxBatch = options.maxBatch ?? 4;
  }

  async load(model: ModelPackage, signal?: AbortSignal): Promise<void> {
    if (this.#state !== "new") throw new TonetapError("conflict", `this backend is ${this.#state} already`);
    if (signal?.aborted === true) {
      this.#state = "failed";
      throw TonetapError.from(signal.reason, "closed");
    }
    this.#model = model;
    this.#shape = modelShape(model.manifest);
    this.#state = "ready";
  }

  async run(batch: WindowBatch, out: Float32Array, signal?: AbortSignal): Promise<BatchTiming> {
    if (signal?.aborted === true) throw TonetapError.from(signal.reason, "closed");
    if (this.#state === "closed") throw new TonetapError("closed", "the backend is closed");
    const shape = this.#shape;
    if (this.#state !== "ready" || shape === undefined) {
      throw new TonetapError("unavailable", `the backend is ${this.#state}`);
    }
    const { rows, memory } = batch;
    if (
      rows.length < 1 ||
      rows.length > this.maxBatch ||
      out.length < rows.length * shape.labels ||
      memory.shape.channels !== shape.channels ||
      memory.shape.frames !== shape.frames
    ) {
      throw new TonetapError("invalid-argument", `${rows.length} windows do not fit`);
    }
    const turn = this.#tail.then(() => this.#compute(batch, out, shape));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #compute(batch: WindowBatch, out: Float32Array, shape: ModelShape): Promise<BatchTiming> {
    const failure = this.#options.failure?.(this.#asked++);
    if (failure !== undefined) {
      if (failure.code === "unavailable") this.#state = "restarting";
      throw failure;
    }
    const { memory, rows } = batch;
    this.begun.push(rows.length);
    const inferenceMs = this.#options.batchMs?.(rows.length) ?? 0;
    if (inferenceMs > 0) await sleep(this.#options.clock, inferenceMs);
    for (const [i, row] of rows.entries()) {
      const mask = memory.masks.subarray(row * shape.frames, (row + 1) * shape.frames);
      for (let label = 0; label < shape.labels; label++) {
        const start = (row * shape.channels + label) * shape.frames;
        const feature = memory.features.subarray(start, start + shape.frames);
        let sum = 0;
        let valid = 0;
        for (let t = 0; t < shape.frames; t++) {
          sum += (feature[t] ?? 0) * (mask[t] ?? 0);
          valid += mask[t] ?? 0;
        }
        out[i * shape.labels + label] = sum / valid;
      }
    }
    return { inferenceMs };
  }

  /** Ends an `unavailable` failure: up again, or down for good. */
  revive(error?: TonetapError): void {
    this.#state = error === undefined ? "ready" : "failed";
    if (error === undefined) this.#revival.resolve();
    else this.#revival.reject(error);
    this.#revival = Promise.withResolvers<void>();
  }

  async ready(signal?: AbortSignal): Promise<void> {
    if (this.#state === "restarting") {
      const revival = this.#revival;
      signal?.addEventListener("abort", () => revival.reject(TonetapError.from(signal.reason, "closed")), {
        once: true,
      });
      await revival.promise;
    }
    if (this.#state !== "ready") throw new TonetapError("unavailable", `the backend is ${this.#state}`);
  }

  describe(): BackendDescription {
    return {
      engine: "linear",
      state: this.#state,
      requested: "cpu",
      device: "cpu",
      provider: "cpu",
      tried: [],
      threads: 1,
      model: this.#model?.id ?? "",
      restarts: 0,
      lastError: "",
    };
  }

  async close(): Promise<void> {
    this.#state = "closed";
    await this.#tail;
  }
}
