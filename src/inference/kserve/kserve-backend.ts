/**
 * Has a model run by an inference server (Triton, KServe, OpenVINO Model Server, …): retries, gives up in time, and
 * leaves a server alone that is not well. How requests travel is http-client.ts and grpc-client.ts.
 */
import { type Clock, sleep, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type {
  BackendDescription,
  BackendState,
  BatchTiming,
  InferenceBackend,
  WindowBatch,
} from "../backend.ts";
import type { ModelPackage } from "../model-package.ts";
import { assertBatchFits, type ModelShape, modelShape } from "../window-memory.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import type { CallLimits, KserveClient, KserveTarget, ModelMetadata, TensorMetadata } from "./client.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { KserveHttpClient } from "./http-client.ts";

export interface KserveBackendOptions {
  /** `http://`, `https://`, `grpc://` or `grpcs://`, with the server's port. */
  readonly url: string;
  /** Its name there. Default: the model package's. */
  readonly model?: string;
  /** Default: the server's choice. */
  readonly version?: string;
  /** Sent with every call, e.g. `{ authorization: "Bearer …" }`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM of who vouches for the server's certificate. Default: the certificate authorities that everybody trusts. */
  readonly ca?: string;
  /** Most windows in one request. 1–512, default 32. */
  readonly maxBatch?: number;
  /** A batch that takes longer is given up, ms; sooner where its windows are late before that. 10–600,000, default 2,000. */
  readonly requestTimeoutMs?: number;
  /** Further tries of a batch that may work in a moment, while there is time. 0–10, default 2. */
  readonly maxRetries?: number;
  /** Batches in a row that fail before the server is left alone until it says that it is ready. 1–1,000, default 3. */
  readonly breakerFailures?: number;
  readonly clock?: Clock;
}

/** Wait before the first retry, and before the first look at a server that is not well, ms; doubles each time. */
const FIRST_RETRY_MS = 10;
const FIRST_PROBE_MS = 100;
const LONGEST_PROBE_MS = 5_000;

/** One request at a time: use several side by side to have more under way. */
export class KserveBackend implements InferenceBackend, Closable {
  readonly maxBatch: number;
  readonly #options: KserveBackendOptions;
  readonly #url: URL;
  readonly #requestTimeoutMs: number;
  readonly #maxRetries: number;
  readonly #clock: Clock;
  readonly #breaker: CircuitBreaker;
  readonly #closing = new AbortController();
  #state: BackendState = "new";
  #client: KserveClient | undefined;
  #model: ModelPackage | undefined;
  #shape: ModelShape | undefined;
  /** Copies of the windows under way, wiped after each: a socket may still read them when the rows are given back. */
  #staging: { readonly features: Float32Array; readonly masks: Float32Array } | undefined;
  #server = "";
  #recoveries = 0;
  #lastError = "";
  #recovering: Promise<void> = Promise.resolve();
  #tail: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /** @throws TonetapError invalid-argument */
  constructor(options: KserveBackendOptions) {
    this.#options = options;
    this.#url = serverUrl(options.url);
    this.maxBatch = options.maxBatch ?? 32;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 2_000;
    this.#maxRetries = options.maxRetries ?? 2;
    this.#clock = options.clock ?? systemClock;
    assertRange("maxBatch", this.maxBatch, 1, 512);
    assertRange("requestTimeoutMs", this.#requestTimeoutMs, 10, 600_000, "ms");
    assertRange("maxRetries", this.#maxRetries, 0, 10);
    this.#breaker = new CircuitBreaker(options.breakerFailures ?? 3);
  }

  async load(model: ModelPackage, signal?: AbortSignal): Promise<void> {
    if (this.#state !== "new") throw new TonetapError("conflict", `this backend is ${this.#state} already`);
    this.#state = "loading";
    this.#model = model;
    const shape = modelShape(model.manifest);
    try {
      if (signal?.aborted === true) throw TonetapError.from(signal.reason, "closed", "aborted");
      const target: KserveTarget = {
        url: this.#url,
        model: this.#options.model ?? model.manifest.name,
        version: this.#options.version ?? "",
        headers: this.#options.headers ?? {},
        ...(this.#options.ca === undefined ? {} : { ca: this.#options.ca }),
      };
      const grpc = this.#url.protocol.startsWith("grpc");
      this.#client = grpc
        ? await openGrpcClient(target, this.#clock)
        : new KserveHttpClient(target, this.#clock);
      const limits: CallLimits = { timeoutMs: this.#requestTimeoutMs, signal };
      checkTensors(await this.#client.metadata(limits), model, shape);
      this.#server = await this.#client.server(limits);
      this.#shape = shape;
      this.#staging = {
        features: new Float32Array(this.maxBatch * shape.channels * shape.frames),
        masks: new Float32Array(this.maxBatch * shape.frames),
      };
      await this.#warmUp(shape, limits);
      if (this.#closing.signal.aborted) throw TonetapError.from(this.#closing.signal.reason);
      this.#state = "ready";
    } catch (error) {
      const reason = TonetapError.from(error);
      if (!this.#closing.signal.aborted) this.#state = "failed";
      this.#lastError = reason.message;
      await this.#client?.close();
      if (reason.code === "closed" || reason.code === "invalid-argument") throw reason;
      throw new TonetapError("unavailable", `${this.#url.href}: ${reason.message}`, { cause: reason });
    }
  }

  async run(batch: WindowBatch, out: Float32Array, signal?: AbortSignal): Promise<BatchTiming> {
    if (signal?.aborted === true) throw TonetapError.from(signal.reason, "closed", "aborted");
    this.#assertReady();
    assertBatchFits(batch, out, this.#shape, this.maxBatch);
    const startedMs = this.#clock.now();
    const turn = this.#tail.then(() => this.#runNow(batch, out, startedMs));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async ready(signal?: AbortSignal): Promise<void> {
    if (this.#state === "restarting") {
      const stopped = Promise.withResolvers<void>();
      const stop = (): void => stopped.reject(TonetapError.from(signal?.reason, "closed", "aborted"));
      if (signal?.aborted === true) stop();
      signal?.addEventListener("abort", stop, { once: true });
      try {
        await Promise.race([this.#recovering, stopped.promise]);
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    }
    this.#assertReady();
  }

  describe(): BackendDescription {
    return {
      engine: this.#server === "" ? "kserve" : `kserve ${this.#server}`,
      state: this.#state,
      requested: "auto",
      device: this.#server === "" ? "none" : "remote",
      provider: this.#url.host,
      tried: [],
      threads: 1,
      model: this.#model?.id ?? "",
      restarts: this.#recoveries,
      lastError: this.#lastError,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#state = "closed";
    this.#closing.abort(new TonetapError("closed", "the backend is closed"));
    await this.#tail;
    await this.#recovering;
    await this.#client?.close();
  }

  #assertReady(): void {
    if (this.#state === "ready") return;
    const code = this.#state === "closed" ? "closed" : "unavailable";
    throw new TonetapError(code, `the backend is ${this.#state}`);
  }

  async #warmUp(shape: ModelShape, limits: CallLimits): Promise<void> {
    this.#staging?.masks.fill(1);
    for (const windows of new Set([1, this.maxBatch])) await this.#infer(windows, shape, limits);
  }

  async #runNow(batch: WindowBatch, out: Float32Array, startedMs: number): Promise<BatchTiming> {
    const shape = this.#shape;
    const staging = this.#staging;
    if (shape === undefined || staging === undefined) throw new TonetapError("internal", "not loaded");
    // While it waited for the batch before it, that one may have found the server gone.
    if (this.#state === "restarting") this.#assertReady();
    const giveUpMs = Math.min(startedMs + this.#requestTimeoutMs, batch.dueMs ?? Number.POSITIVE_INFINITY);
    const size = shape.channels * shape.frames;
    const { memory, rows } = batch;
    for (const [i, row] of rows.entries()) {
      staging.features.set(memory.features.subarray(row * size, (row + 1) * size), i * size);
      staging.masks.set(
        memory.masks.subarray(row * shape.frames, (row + 1) * shape.frames),
        i * shape.frames,
      );
    }
    const sentMs = this.#clock.now();
    try {
      const logits = await this.#inferInTime(rows.length, shape, giveUpMs);
      this.#breaker.succeeded();
      out.set(logits);
      return { inferenceMs: this.#clock.now() - sentMs };
    } catch (error) {
      throw this.#failed(TonetapError.from(error));
    } finally {
      staging.features.fill(0, 0, rows.length * size);
    }
  }

  /** Tries again what may work in a moment, until it is too late. */
  async #inferInTime(windows: number, shape: ModelShape, giveUpMs: number): Promise<Float32Array> {
    for (let retry = 0; ; retry++) {
      const timeoutMs = giveUpMs - this.#clock.now();
      if (timeoutMs <= 0)
        throw new TonetapError("timeout", "the batch's time was over before it could be sent");
      try {
        return await this.#infer(windows, shape, { timeoutMs });
      } catch (error) {
        const waitMs = FIRST_RETRY_MS * 2 ** retry;
        const reason = TonetapError.from(error);
        const inTime = this.#clock.now() + waitMs < giveUpMs;
        if (!reason.retryable || reason.code === "timeout" || retry >= this.#maxRetries || !inTime)
          throw reason;
        this.#lastError = reason.message;
        await sleep(this.#clock, waitMs);
      }
    }
  }

  async #infer(windows: number, shape: ModelShape, limits: CallLimits): Promise<Float32Array> {
    const { tensors } = this.#model?.manifest ?? {};
    if (this.#client === undefined || this.#staging === undefined || tensors === undefined) {
      throw new TonetapError("internal", "not loaded");
    }
    const { features, masks } = this.#staging;
    const bytes = (data: Float32Array, length: number): Uint8Array =>
      new Uint8Array(data.buffer, 0, 4 * length);
    const { channels, frames, labels } = shape;
    const logits = await this.#client.infer(
      [
        {
          name: tensors.features,
          shape: [windows, channels, 1, frames],
          data: bytes(features, windows * channels * frames),
        },
        { name: tensors.mask, shape: [windows, 1, 1, frames], data: bytes(masks, windows * frames) },
      ],
      tensors.logits,
      limits,
    );
    if (logits.length === windows * labels) return logits;
    throw new TonetapError("protocol", `the server gave ${logits.length} logits for ${windows} × ${labels}`);
  }

  /** What a failed batch means for those after it. @returns what to tell of it */
  #failed(error: TonetapError): TonetapError {
    this.#lastError = error.message;
    const sick = error.retryable || error.code === "protocol";
    if (!sick) return new TonetapError("internal", error.message, { cause: error });
    if (!this.#breaker.failed() || this.#state !== "ready") {
      return new TonetapError("internal", error.message, { retryable: true, cause: error });
    }
    this.#state = "restarting";
    this.#recovering = this.#recover();
    return new TonetapError("unavailable", error.message, { cause: error });
  }

  /** Looks at the server now and then until it is ready. Never rejects. */
  async #recover(): Promise<void> {
    const { signal } = this.#closing;
    for (let waitMs = FIRST_PROBE_MS; !signal.aborted; waitMs = Math.min(LONGEST_PROBE_MS, 2 * waitMs)) {
      try {
        await sleep(this.#clock, waitMs, signal);
        if ((await this.#client?.ready({ timeoutMs: this.#requestTimeoutMs, signal })) !== true) continue;
      } catch (error) {
        this.#lastError = TonetapError.from(error).message;
        continue;
      }
      this.#recoveries++;
      this.#breaker.allowTrial();
      this.#state = "ready";
      return;
    }
  }
}

function serverUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^(https?|grpcs?):$/.test(url.protocol) && url.hostname !== "") return url;
  throw new TonetapError(
    "invalid-argument",
    `the inference server's URL must begin with http://, https://, grpc:// or grpcs://, got ${JSON.stringify(text)}`,
  );
}

/** @throws TonetapError invalid-argument when the server's model is another than the package's */
function checkTensors(served: ModelMetadata, { manifest, id }: ModelPackage, shape: ModelShape): void {
  const { channels, frames, labels } = shape;
  const expect = (
    role: string,
    list: readonly TensorMetadata[],
    name: string,
    want: readonly number[],
  ): void => {
    const found = list.find((tensor) => tensor.name === name);
    const fits =
      found?.datatype === "FP32" &&
      found.shape.length === want.length &&
      want.every((size, i) => found.shape[i] === -1 || found.shape[i] === size);
    if (fits) return;
    const got =
      found === undefined
        ? `only ${list.map((tensor) => tensor.name).join(", ") || "none"}`
        : `${found.datatype} [${found.shape.join(", ")}]`;
    throw new TonetapError(
      "invalid-argument",
      `the server's ${role} "${name}" must be FP32 [${want.join(", ")}] as ${id} has it, got ${got}`,
    );
  };
  expect("input", served.inputs, manifest.tensors.features, [-1, channels, 1, frames]);
  expect("input", served.inputs, manifest.tensors.mask, [-1, 1, 1, frames]);
  expect("output", served.outputs, manifest.tensors.logits, [-1, labels]);
}
