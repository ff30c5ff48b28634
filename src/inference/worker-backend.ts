/** Runs a model in a worker thread and starts the thread anew when it dies. One thread's life is worker-link.ts. */
import { type Clock, sleep, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type {
  BackendDescription,
  BackendState,
  BatchTiming,
  DeviceOption,
  InferenceBackend,
  WindowBatch,
} from "./backend.ts";
import type { ModelPackage } from "./model-package.ts";
import { type StreamShape, streamShape } from "./stream-memory.ts";
import { assertBatchFits, type ModelShape, modelShape } from "./window-memory.ts";
import { WorkerLink } from "./worker-link.ts";
import type { OpenedReply } from "./worker-protocol.ts";

export interface WorkerBackendOptions {
  /** Default `auto`: a GPU where one works and pays, else the processor. */
  readonly device?: DeviceOption;
  /** Which of several GPUs, 0–63. Default: the runtime's choice, the first. */
  readonly deviceId?: number;
  /** Most windows in one run. 1–512, default 32. */
  readonly maxBatch?: number;
  /** A batch that takes longer, ms, means a hanging device: the thread is replaced. 100–600,000, default 10,000. */
  readonly runTimeoutMs?: number;
  /** Starts in a row, without a batch done in between, before it is given up. 0–100, default 8: about 20 s. */
  readonly maxRestarts?: number;
  readonly clock?: Clock;
  /** Judge windows by their streams where engine and model can. Default true. */
  readonly incremental?: boolean;
  /** The thread's script; another one that speaks worker-protocol.ts may stand in. */
  readonly script?: URL;
}

/** What an engine's thread can do, and where it looks for what it needs. */
export interface EnginePowers {
  /** Folders with packages that the user installs. */
  readonly packages?: readonly string[];
  /** It runs a streaming model's two parts. */
  readonly streams?: boolean;
}

/** Wait before a thread is started anew, ms; doubles with every try in a row. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;

/** One model in one thread: use several side by side for several cores. Keeps the process alive until closed. */
export abstract class WorkerBackend implements InferenceBackend {
  readonly maxBatch: number;
  readonly #device: DeviceOption;
  readonly #deviceId: number | undefined;
  readonly #runTimeoutMs: number;
  readonly #maxRestarts: number;
  readonly #clock: Clock;
  readonly #script: URL;
  readonly #engine: string;
  readonly #packages: readonly string[];
  readonly #incremental: boolean;
  #streams: StreamShape | undefined;
  readonly #closing = new AbortController();
  #state: BackendState = "new";
  #model: ModelPackage | undefined;
  #shape: ModelShape | undefined;
  #link: WorkerLink | undefined;
  #opened: OpenedReply | undefined;
  #restarts = 0;
  #triesInARow = 0;
  #lastError = "";
  /** The restart under way, or the last one. */
  #restarting: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /** @param engine its name, as long as it has not told its version */
  constructor(engine: string, script: URL, options: WorkerBackendOptions, powers: EnginePowers = {}) {
    this.#device = options.device ?? "auto";
    this.#deviceId = options.deviceId;
    this.maxBatch = options.maxBatch ?? 32;
    this.#runTimeoutMs = options.runTimeoutMs ?? 10_000;
    this.#maxRestarts = options.maxRestarts ?? 8;
    this.#clock = options.clock ?? systemClock;
    this.#script = options.script ?? script;
    this.#engine = engine;
    this.#packages = powers.packages ?? [];
    this.#incremental = powers.streams === true && options.incremental !== false;
    assertRange("maxBatch", this.maxBatch, 1, 512);
    if (this.#deviceId !== undefined) assertRange("deviceId", this.#deviceId, 0, 63);
    assertRange("runTimeoutMs", this.#runTimeoutMs, 100, 600_000, "ms");
    assertRange("maxRestarts", this.#maxRestarts, 0, 100);
  }

  get streams(): StreamShape | undefined {
    return this.#streams;
  }

  async load(model: ModelPackage, signal?: AbortSignal): Promise<void> {
    if (this.#state !== "new") throw new TonetapError("conflict", `this backend is ${this.#state} already`);
    this.#state = "loading";
    this.#model = model;
    this.#shape = modelShape(model.manifest);
    this.#streams = this.#incremental ? streamShape(model.manifest) : undefined;
    try {
      await this.#open(model, this.#shape, signal);
      // Measured on processors only. A thread that comes back on another device goes on as it began.
      if (this.#opened?.device !== "cpu") this.#streams = undefined;
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#state = "failed";
      this.#lastError = TonetapError.from(error).message;
      throw error;
    }
  }

  async run(batch: WindowBatch, out: Float32Array, signal?: AbortSignal): Promise<BatchTiming> {
    if (signal?.aborted === true) throw aborted(signal);
    const link = this.#link;
    if (this.#state !== "ready" || link === undefined) {
      throw new TonetapError(
        this.#state === "closed" ? "closed" : "unavailable",
        `the backend is ${this.#state}`,
      );
    }
    assertBatchFits(batch, out, this.#shape, this.maxBatch);
    if (batch.streams !== undefined && this.streams === undefined) {
      throw new TonetapError("invalid-argument", "this backend judges each window whole");
    }
    const timing = await link.run(batch, out);
    this.#triesInARow = 0;
    return timing;
  }

  async ready(signal?: AbortSignal): Promise<void> {
    if (this.#state === "restarting") await untilAborted(this.#restarting, signal);
    if (this.#state !== "ready") {
      throw new TonetapError(
        this.#state === "closed" ? "closed" : "unavailable",
        `the backend is ${this.#state}`,
        { retryable: false },
      );
    }
  }

  describe(): BackendDescription {
    return {
      engine: this.#opened?.engine ?? this.#engine,
      state: this.#state,
      requested: this.#device,
      device: this.#opened?.device ?? "none",
      provider: this.#opened?.provider ?? "",
      tried: this.#opened?.tried ?? [],
      threads: this.#opened?.threads ?? 0,
      model: this.#model?.id ?? "",
      restarts: this.#restarts,
      lastError: this.#lastError,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const idle = this.#state !== "ready";
    this.#state = "closed";
    const reason = new TonetapError("closed", "the backend is closed");
    this.#closing.abort(reason);
    await (idle ? this.#link?.kill(reason) : this.#link?.close());
    await this.#restarting;
  }

  async #open(model: ModelPackage, shape: ModelShape, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw aborted(signal);
    const { streams } = this;
    const link = new WorkerLink({
      script: this.#script,
      clock: this.#clock,
      runTimeoutMs: this.#runTimeoutMs,
      onLost: (error) => {
        this.#restarting = this.#restart(error);
      },
      request: {
        onnxPath: model.onnxPath,
        shape,
        tensors: model.manifest.tensors,
        device: this.#device,
        deviceId: this.#deviceId,
        packages: this.#packages,
        maxBatch: this.maxBatch,
      },
      streaming: streams && model.streamingPaths && { ...model.streamingPaths, shape: streams },
    });
    this.#link = link;
    const onAbort = (): void => {
      if (signal !== undefined) void link.kill(aborted(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#opened = await link.opened;
      if (this.#closing.signal.aborted) throw aborted(this.#closing.signal);
      this.#state = "ready";
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Never rejects: where it ends is `#state`. */
  async #restart(reason: TonetapError): Promise<void> {
    this.#lastError = reason.message;
    const model = this.#model;
    const shape = this.#shape;
    if (model === undefined || shape === undefined || this.#closing.signal.aborted) return;
    this.#state = "restarting";
    while (this.#triesInARow < this.#maxRestarts) {
      const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#triesInARow++);
      try {
        await sleep(this.#clock, backoffMs, this.#closing.signal);
        this.#restarts++;
        await this.#open(model, shape);
        return;
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#lastError = TonetapError.from(error).message;
      }
    }
    this.#state = "failed";
  }
}

const aborted = (signal: AbortSignal): TonetapError => TonetapError.from(signal.reason, "closed", "aborted");

/** Waits for `promise`, or rejects with the signal's reason. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  if (signal.aborted) throw aborted(signal);
  const stop = Promise.withResolvers<never>();
  const onAbort = (): void => stop.reject(aborted(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, stop.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
