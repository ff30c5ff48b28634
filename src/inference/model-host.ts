/**
 * Which model judges which call, and how that changes while people talk: a new one is loaded and warmed beside the one
 * in force, tried on a share of the calls or in its shadow, and takes over without a window lost. Running one model is
 * model-runtime.ts.
 */
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { ModelManifest } from "../core/model.ts";
import type {
  DroppedWindow,
  EmotionEstimate,
  FeatureWindow,
  WindowBatcher,
  WindowOwner,
  WindowPlace,
  WindowScales,
} from "../core/window.ts";
import { windowInfo } from "../core/window-info.ts";
import type { BackendDescription } from "./backend.ts";
import type { BatchPlan } from "./batch-plan.ts";
import { addStats, type BatcherStats } from "./batcher-stats.ts";
import type { ModelPackage } from "./model-package.ts";
import { ModelRuntime, type ModelRuntimeOptions, type OpenOptions } from "./model-runtime.ts";
import { ShadowComparison, type ShadowFigures } from "./shadow-comparison.ts";

/**
 * How a new model begins. `live`: it judges every call at once. `canary`: it judges a share of the calls, each call by
 * one model all along. `shadow`: it judges what the live one judges, nobody hears of it, and how often they agree is counted.
 */
export type ModelMode = "live" | "canary" | "shadow";

export interface ModelChange {
  readonly mode: ModelMode;
  /** Share of the calls that a canary judges, 0–1. Default 0.1. */
  readonly share?: number;
  readonly signal?: AbortSignal;
}

/** One loaded model. */
export interface ModelStatus {
  /** `name@version` */
  readonly id: string;
  readonly mode: ModelMode;
  /** Of the calls; of a shadow, the share that it looks at. */
  readonly share: number;
  readonly backends: readonly BackendDescription[];
  readonly stats: BatcherStats;
  /** What measuring the device for `latencyTargetMs` led to. */
  readonly plan?: BatchPlan;
  /** Of a shadow. */
  readonly comparison?: ShadowFigures;
}

interface Candidate {
  readonly runtime: ModelRuntime;
  readonly mode: "canary" | "shadow";
  readonly share: number;
  readonly comparison: ShadowComparison;
}

interface Leaving {
  readonly runtime: ModelRuntime;
  /** It was live or a canary: its windows count. */
  readonly heard: boolean;
  gone: Promise<void>;
}

/** Models whose last windows may still be on their way to be told. */
const REMEMBERED_MODELS = 8;

export class ModelHost implements WindowBatcher, Closable {
  readonly #options: ModelRuntimeOptions;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  #live: ModelRuntime;
  #candidate: Candidate | undefined;
  #scales: { readonly live: WindowScales; readonly canary: WindowScales };
  /** By id, for what is told of their estimates. */
  readonly #manifests = new Map<string, ModelManifest>();
  /** The change under way. */
  #changing: Promise<unknown> | undefined;
  /** Models that answer their last windows. */
  readonly #leaving = new Set<Leaving>();
  /** Share of its time that the busiest thread works. */
  #load = 0;
  /** Counts of those that have gone. */
  #past: BatcherStats | undefined;
  #closed: Promise<void> | undefined;

  private constructor(live: ModelRuntime, options: ModelRuntimeOptions, clock: Clock) {
    this.#live = live;
    this.#options = options;
    this.#clock = clock;
    this.#scales = this.#currentScales();
    this.#remember(live.model);
  }

  /** @throws TonetapError as InferenceBackend.load() */
  static async open(
    model: ModelPackage,
    options: ModelRuntimeOptions,
    { clock = systemClock, signal }: OpenOptions = {},
  ): Promise<ModelHost> {
    return new ModelHost(await ModelRuntime.open(model, options, { clock, signal }), options, clock);
  }

  /** The live model's. */
  get manifest(): ModelManifest {
    return this.#live.model.manifest;
  }

  /** `name@version` of the live model. */
  get id(): string {
    return this.#live.model.id;
  }

  /** For how long the live model has a window wait for batch-mates now, ms. */
  get delayMs(): number {
    return this.#live.batcher.delayMs;
  }

  /** Of all models that were heard since the start; latencies and queue limit are the live one's. */
  get stats(): BatcherStats {
    const heard = [...this.#leaving].filter(({ heard }) => heard).map(({ runtime }) => runtime.batcher.stats);
    if (this.#candidate?.mode === "canary") heard.push(this.#candidate.runtime.batcher.stats);
    if (this.#past !== undefined) heard.push(this.#past);
    return addStats(this.#live.batcher.stats, heard);
  }

  /** The live model's, one a worker. */
  describeBackends(): BackendDescription[] {
    return this.#live.describeBackends();
  }

  /** What is loaded, the live model first. */
  describe(): ModelStatus[] {
    const status = (runtime: ModelRuntime, mode: ModelMode, share: number): ModelStatus => ({
      id: runtime.model.id,
      mode,
      share,
      backends: runtime.describeBackends(),
      stats: runtime.batcher.stats,
      ...(runtime.plan === undefined ? {} : { plan: runtime.plan }),
    });
    const candidate = this.#candidate;
    if (candidate === undefined) return [status(this.#live, "live", 1)];
    const { runtime, mode, share, comparison } = candidate;
    return [
      status(this.#live, "live", mode === "canary" ? 1 - share : 1),
      { ...status(runtime, mode, share), ...(mode === "shadow" ? { comparison: comparison.figures } : {}) },
    ];
  }

  /** Of a model that is loaded, or was until lately. */
  manifestOf(id: string): ModelManifest | undefined {
    return this.#manifests.get(id);
  }

  /** The scales of a call's windows now; the same object as long as nothing changes. */
  scalesOf(call: string): WindowScales {
    return this.#judgedByCanary(call) ? this.#scales.canary : this.#scales.live;
  }

  submit(
    key: string,
    window: FeatureWindow,
    owner: WindowOwner = {},
  ): Promise<EmotionEstimate | DroppedWindow> {
    const candidate = this.#candidate;
    if (candidate === undefined) return this.#live.batcher.submit(key, window, owner);
    if (this.#judgedByCanary(owner.call ?? key)) {
      return candidate.runtime.batcher.submit(key, window, owner);
    }
    const answer = this.#live.batcher.submit(key, window, owner);
    if (candidate.mode === "shadow" && window.shadowFeatures !== undefined) {
      // Its scale is its own, and so would be its streams: it judges each window whole.
      const { frames, shadowFeatures: features } = window;
      const own: FeatureWindow = { ...windowInfo(window), kind: "window", features, frames };
      // Nobody waits for it: where it runs beside others, they go first.
      const second = candidate.runtime.batcher.submit(key, own, { ...owner, priority: "low" });
      candidate.comparison.compare(answer, second);
    }
    return answer;
  }

  needsFreshOnly(key: string, window: WindowPlace, owner: WindowOwner = {}): boolean {
    const canary = this.#judgedByCanary(owner.call ?? key) ? this.#candidate?.runtime : undefined;
    return (canary ?? this.#live).batcher.needsFreshOnly(key, window);
  }

  /** How long windows wait for batch-mates follows it. @param load share of its time that the busiest thread works */
  followLoad(load: number): void {
    this.#load = load;
    this.#live.batcher.followLoad(load);
    this.#candidate?.runtime.batcher.followLoad(load);
  }

  /** Of every model that may have windows of that key waiting. */
  forget(key: string): number {
    let windows = this.#live.batcher.forget(key) + (this.#candidate?.runtime.batcher.forget(key) ?? 0);
    for (const { runtime } of this.#leaving) windows += runtime.batcher.forget(key);
    return windows;
  }

  /**
   * Loads a model and lets it begin as `mode` says. A candidate that is there already is let go, unless it is this
   * model: then it only changes its mode. Resolves when the new state is in force; windows that wait for a model that
   * goes are answered by it.
   * @throws TonetapError conflict (another change is under way; the live model is this one), invalid-argument (it wants
   * other windows or has other labels), closed, and as InferenceBackend.load()
   */
  change(model: ModelPackage, change: ModelChange): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
    if (this.#changing !== undefined) {
      return Promise.reject(new TonetapError("conflict", "another model is being loaded"));
    }
    const changing = this.#change(model, change).finally(() => {
      this.#changing = undefined;
    });
    this.#changing = changing.catch(() => undefined);
    return changing;
  }

  /** Lets a candidate go; the live model judges every call again. @throws TonetapError not-found */
  discard(id: string): void {
    const candidate = this.#candidate;
    if (candidate?.runtime.model.id !== id) {
      throw new TonetapError("not-found", `${id} is no candidate`);
    }
    this.#candidate = undefined;
    this.#scales = this.#currentScales();
    this.#retire(candidate.runtime, candidate.mode === "canary");
  }

  /** What waits is dropped (`closed`). */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new TonetapError("closed", "the models are closed"));
    await this.#changing;
    await Promise.all([
      this.#live.close(),
      this.#candidate?.runtime.close(),
      ...[...this.#leaving].map(({ gone }) => gone),
    ]);
  }

  async #change(model: ModelPackage, { mode, share = 0.1, signal }: ModelChange): Promise<void> {
    assertRange("share", share, 0, 1);
    if (model.id === this.#live.model.id) {
      throw new TonetapError(
        "conflict",
        `${model.id} is live already; a new model needs a version of its own`,
      );
    }
    assertFollows(model.manifest, this.#live.model.manifest);
    const before = this.#candidate;
    const known = before?.runtime.model.id === model.id ? before.runtime : undefined;
    const signals =
      signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    const runtime =
      known ?? (await ModelRuntime.open(model, this.#options, { clock: this.#clock, signal: signals }));
    if (this.#closing.signal.aborted) {
      await runtime.close();
      throw this.#closing.signal.reason;
    }
    runtime.batcher.followLoad(this.#load);
    this.#remember(model);
    // From here on nothing waits: no window meets half a change.
    const leaving = this.#candidate;
    const replaced = this.#live;
    if (mode === "live") {
      this.#live = runtime;
      this.#candidate = undefined;
    } else {
      this.#candidate = { runtime, mode, share, comparison: new ShadowComparison() };
    }
    this.#scales = this.#currentScales();
    if (leaving !== undefined && leaving.runtime !== runtime) {
      this.#retire(leaving.runtime, leaving.mode === "canary");
    }
    if (mode === "live") this.#retire(replaced, true);
  }

  /** Answers its last windows, then closes it. */
  #retire(runtime: ModelRuntime, heard: boolean): void {
    const leaving: Leaving = { runtime, heard, gone: Promise.resolve() };
    this.#leaving.add(leaving);
    leaving.gone = this.#finish(leaving);
  }

  /** Never rejects: what a thread says at its end is nobody's concern any more. */
  async #finish(leaving: Leaving): Promise<void> {
    const { runtime, heard } = leaving;
    const { signal } = this.#closing;
    const stopped = Promise.withResolvers<void>();
    const stop = (): void => stopped.resolve();
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    await Promise.race([runtime.batcher.drain(), stopped.promise]);
    signal.removeEventListener("abort", stop);
    await runtime.close().catch(() => undefined);
    this.#leaving.delete(leaving);
    if (!heard) return;
    const { stats } = runtime.batcher;
    this.#past = this.#past === undefined ? stats : addStats(this.#past, [stats]);
  }

  #remember({ id, manifest }: ModelPackage): void {
    this.#manifests.delete(id);
    this.#manifests.set(id, manifest);
    // The live one is never the oldest.
    const live = this.#live.model;
    this.#manifests.delete(live.id);
    this.#manifests.set(live.id, live.manifest);
    const [oldest] = this.#manifests.keys();
    if (this.#manifests.size > REMEMBERED_MODELS && oldest !== undefined) this.#manifests.delete(oldest);
  }

  #judgedByCanary(call: string): boolean {
    const candidate = this.#candidate;
    return candidate?.mode === "canary" && inShare(call, candidate.share);
  }

  #currentScales(): { live: WindowScales; canary: WindowScales } {
    const scales = ({ model, batcher }: ModelRuntime): WindowScales => ({
      own: model.manifest.normalisation,
      strideFrames: batcher.strideFrames,
    });
    const live = scales(this.#live);
    if (this.#candidate === undefined) return { live, canary: live };
    const candidate = scales(this.#candidate.runtime);
    const shadow = this.#candidate.mode === "shadow" ? candidate.own : undefined;
    return { live: { ...live, shadow }, canary: candidate };
  }
}

/** Windows are cut and labels shown as the live model has them: who follows it must have the same. */
function assertFollows(next: ModelManifest, live: ModelManifest): void {
  const differs = (["features", "window", "labels"] as const).find(
    (field) => !isDeepStrictEqual(next[field], live[field]),
  );
  const reason =
    differs ?? (next.normalisation.kind === live.normalisation.kind ? undefined : "normalisation.kind");
  if (reason === undefined) return;
  throw new TonetapError(
    "invalid-argument",
    `${next.name}@${next.version} cannot follow ${live.name}@${live.version} while calls go on: its ${reason} differ; start the service with it`,
  );
}

/** Whether a call falls into a share, the same for one name always: FNV-1a, spread over 10,000 parts. */
export function inShare(call: string, share: number): boolean {
  let hash = 0x811c9dc5;
  for (let i = 0; i < call.length; i++) hash = Math.imul(hash ^ call.charCodeAt(i), 0x01000193);
  // The low bits of FNV alone are not spread well for names that differ in their last letter.
  hash ^= hash >>> 15;
  return (hash >>> 0) % 10_000 < share * 10_000;
}
