/** One model, loaded and ready: its backends and the batcher before them. Which model a call is judged by is model-host.ts. */
import { type Clock, systemClock } from "../core/clock.ts";
import { type Closable, CloseStack } from "../core/lifecycle.ts";
import { SAMPLES_PER_MS } from "../core/units.ts";
import type { BackendDescription, DeviceOption, InferenceBackend } from "./backend.ts";
import { type BatchPlan, measureBatchCurve, planBatches } from "./batch-plan.ts";
import { DynamicBatcher } from "./batcher.ts";
import { KserveBackend } from "./kserve/kserve-backend.ts";
import type { ModelPackage } from "./model-package.ts";
import { OnnxBackend } from "./onnx-backend.ts";
import { TfjsBackend } from "./tfjs-backend.ts";
import { modelShape } from "./window-memory.ts";

/** How a model is run. The configuration's section `model` is one. */
export interface ModelRuntimeOptions {
  readonly backend: "onnx" | "tfjs" | "kserve";
  /** Of the inference server, for `kserve`. */
  readonly url: string;
  /** The model's name there; empty: the package's. */
  readonly remoteName: string;
  /** Sent to it with every request, as `Bearer`; empty: none. */
  readonly token: string;
  /** PEM of who vouches for its certificate. */
  readonly ca?: string;
  readonly device: DeviceOption;
  /** GPUs to use; empty: the first. */
  readonly deviceIds: readonly number[];
  /** Instances on each device. */
  readonly workers: number;
  readonly maxBatch: number;
  readonly preferredBatches: readonly number[];
  readonly maxDelayMs: number;
  /** On a busy machine. */
  readonly busyDelayMs: number;
  /** Chooses batch size and delay, within the limits above, by measuring the device; 0 leaves them as they are. */
  readonly latencyTargetMs: number;
  readonly deadlineMs: number;
  readonly queueLimit: number;
  readonly tenantWeights: Readonly<Record<string, number>>;
  /**
   * `auto`: where package and backend can, and the hop is whole steps of the model, windows are judged by their new
   * frames; `off`: each window whole.
   */
  readonly incremental: "auto" | "off";
  /** ms of media between windows. */
  readonly hopMs: number;
}

export interface OpenOptions {
  readonly clock?: Clock;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
}

export class ModelRuntime implements Closable {
  readonly model: ModelPackage;
  readonly batcher: DynamicBatcher;
  /** What the latency target led to; undefined without one. */
  readonly plan: BatchPlan | undefined;
  readonly #backends: readonly InferenceBackend[];
  readonly #resources: CloseStack;

  private constructor(
    model: ModelPackage,
    batcher: DynamicBatcher,
    plan: BatchPlan | undefined,
    backends: readonly InferenceBackend[],
    resources: CloseStack,
  ) {
    this.model = model;
    this.batcher = batcher;
    this.plan = plan;
    this.#backends = backends;
    this.#resources = resources;
  }

  /** Loads the model everywhere, side by side, and warms it up. @throws TonetapError as InferenceBackend.load() */
  static async open(
    model: ModelPackage,
    options: ModelRuntimeOptions,
    { clock = systemClock, signal }: OpenOptions = {},
  ): Promise<ModelRuntime> {
    const resources = new CloseStack();
    try {
      const stepFrames = stepOf(model, options);
      const backends = createBackends(options, clock, stepFrames !== undefined);
      for (const [i, backend] of backends.entries()) resources.use(`backend ${i}`, backend);
      for (const backend of backends) await backend.load(model, signal);
      const plan = await planFor(model, options, backends, clock, signal, stepFrames);
      const { maxBatch, maxDelayMs: longestDelayMs } = plan ?? {
        ...options,
        maxDelayMs: longestDelay(options),
      };
      const batcher = resources.use(
        "batcher",
        new DynamicBatcher({
          manifest: model.manifest,
          backends,
          maxBatch,
          maxDelayMs: Math.min(options.maxDelayMs, longestDelayMs),
          busyDelayMs: Math.min(options.busyDelayMs, longestDelayMs),
          preferredBatches: options.preferredBatches.filter((size) => size <= maxBatch),
          deadlineMs: options.deadlineMs,
          queueLimit: options.queueLimit,
          tenantWeights: options.tenantWeights,
          clock,
        }),
      );
      return new ModelRuntime(model, batcher, plan, backends, resources);
    } catch (error) {
      await resources.close();
      throw error;
    }
  }

  /** One a worker. */
  describeBackends(): BackendDescription[] {
    return this.#backends.map((backend) => backend.describe());
  }

  /** What waits is dropped (`closed`); drain the batcher first to have it judged. */
  close(): Promise<void> {
    return this.#resources.close();
  }
}

/** Frames that a window adds to its stream; undefined where windows are to be judged whole. */
function stepOf({ manifest }: ModelPackage, { incremental, hopMs }: ModelRuntimeOptions): number | undefined {
  const { streaming, features, window } = manifest;
  const frames = (hopMs * SAMPLES_PER_MS) / features.hopLength;
  const fits = streaming !== undefined && frames % streaming.strideFrames === 0 && frames < window.frames;
  return incremental === "auto" && fits ? frames : undefined;
}

function createBackends(
  options: ModelRuntimeOptions,
  clock: Clock,
  incremental: boolean,
): InferenceBackend[] {
  const { device, deviceIds, workers, maxBatch } = options;
  if (options.backend === "kserve") {
    const { url, remoteName, token, ca } = options;
    const remote = {
      url,
      maxBatch,
      clock,
      ...(remoteName === "" ? {} : { model: remoteName }),
      ...(token === "" ? {} : { headers: { authorization: `Bearer ${token}` } }),
      ...(ca === undefined ? {} : { ca }),
    };
    return Array.from({ length: workers }, () => new KserveBackend(remote));
  }
  const devices = deviceIds.length === 0 ? [undefined] : deviceIds;
  return devices.flatMap((deviceId) => {
    const common = { device, maxBatch, clock, incremental, ...(deviceId === undefined ? {} : { deviceId }) };
    return Array.from({ length: workers }, () =>
      options.backend === "tfjs" ? new TfjsBackend(common) : new OnnxBackend(common),
    );
  });
}

async function planFor(
  { manifest }: ModelPackage,
  options: ModelRuntimeOptions,
  backends: readonly InferenceBackend[],
  clock: Clock,
  signal: AbortSignal | undefined,
  stepFrames: number | undefined,
): Promise<BatchPlan | undefined> {
  const { latencyTargetMs, maxBatch } = options;
  const [first] = backends;
  if (latencyTargetMs === 0 || first === undefined) return undefined;
  // All instances are alike; the first stands for them.
  const curve = await measureBatchCurve(first, modelShape(manifest), clock, signal, stepFrames);
  return planBatches(curve, { latencyTargetMs, maxBatch, maxDelayMs: longestDelay(options) });
}

/** Of what a window may wait for batch-mates, idle or busy, ms. */
const longestDelay = ({ maxDelayMs, busyDelayMs }: ModelRuntimeOptions): number =>
  maxDelayMs === 0 ? 0 : Math.max(maxDelayMs, busyDelayMs);
