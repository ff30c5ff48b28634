/** The contract between the batcher and whatever runs the model. One implementation a file; the batcher knows no more than this. */
import type { Closable } from "../core/lifecycle.ts";
import type { ModelPackage } from "./model-package.ts";
import type { StreamMemory, StreamPart, StreamShape } from "./stream-memory.ts";
import type { WindowMemory } from "./window-memory.ts";

/** Windows to run together. */
export interface WindowBatch {
  readonly memory: WindowMemory;
  /** One row of `memory` a window, 1 … maxBatch of them, in the order of the answers. */
  readonly rows: readonly number[];
  /** Windows that are judged by their streams; only for a backend that has `streams`. */
  readonly streams?: BatchStreams;
  /** Monotonic time, ms, from which on nobody waits for the answer. */
  readonly dueMs?: number;
}

export interface BatchStreams {
  readonly memory: StreamMemory;
  /** One a row; undefined: that window is judged whole. No slot is in two of the batches under way. */
  readonly parts: readonly (StreamPart | undefined)[];
}

export interface BatchTiming {
  /** The batch's time in the model, ms; waiting for the backend's thread is not in it. */
  readonly inferenceMs: number;
}

/** Where a model can run. Which of them there are is the backend's; `auto` takes the best that works. */
export type DeviceOption = "auto" | "cpu" | "cuda" | "webgpu" | "tensorrt" | "wasm";

/** A device that was tried, and why it was not taken. */
export interface RefusedProvider {
  readonly provider: string;
  readonly reason: string;
}

/** `restarting`: its worker died, a new one is on its way. `failed`: it died too often; it stays down. */
export type BackendState = "new" | "loading" | "ready" | "restarting" | "failed" | "closed";

/** For logs, `/readyz` and metrics. */
export interface BackendDescription {
  /** Runtime and its version, e.g. `onnxruntime-node 1.30.0`. */
  readonly engine: string;
  readonly state: BackendState;
  /** What was asked for. */
  readonly requested: DeviceOption;
  /** What it runs on; `remote`: a server's business; `none` before load(). */
  readonly device: "cpu" | "gpu" | "remote" | "none";
  /** Execution provider in use, e.g. `cpu`, `cuda`, or the server asked; empty before load(). */
  readonly provider: string;
  /** Devices tried before that one. */
  readonly tried: readonly RefusedProvider[];
  /** Threads that compute. */
  readonly threads: number;
  /** `name@version`; empty before load(). */
  readonly model: string;
  /** Times its worker was started anew. */
  readonly restarts: number;
  /** Why its worker ended or refused the model, the last time; empty if it never did. */
  readonly lastError: string;
}

export interface InferenceBackend extends Closable {
  /** Most windows in one run(). */
  readonly maxBatch: number;
  /** What it carries from window to window; undefined where it judges each window whole. Known after load(). */
  readonly streams?: StreamShape | undefined;

  /**
   * Opens the model and warms it up; called once.
   * @throws TonetapError unavailable (device or file cannot be used), invalid-argument (the file is not the model that
   * its manifest describes), closed (aborted).
   */
  load(model: ModelPackage, signal?: AbortSignal): Promise<void>;

  /**
   * Runs one batch and writes its raw logits, [rows.length, L], to `out`; once it is fulfilled, and only then, the
   * slots of its streams have moved on. Several may be under way.
   * While it is under way the rows must not be written. Once settled, fulfilled or not, rows and `out` are the
   * caller's again; an abort is heeded only before the model starts.
   * @throws TonetapError unavailable (the backend is down: wait for ready()), internal (the model failed on this
   * batch), invalid-argument, closed
   */
  run(batch: WindowBatch, out: Float32Array, signal?: AbortSignal): Promise<BatchTiming>;

  /** Resolves once run() can work; rejects when it never will again, or when aborted (closed). */
  ready(signal?: AbortSignal): Promise<void>;

  describe(): BackendDescription;

  /** Lets the batches under way finish, then frees everything. */
  close(): Promise<void>;
}
