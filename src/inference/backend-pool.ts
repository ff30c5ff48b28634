/** The backends of one batcher: which may take a batch now, and which is down. What they run is batcher.ts. */
import type { TonetapError } from "../core/errors.ts";
import type { InferenceBackend } from "./backend.ts";

/** One backend and what it has to do. */
export interface Instance {
  readonly backend: InferenceBackend;
  /** `name@version` of what it runs. */
  readonly model: string;
  /** Batches under way. */
  running: number;
  /** `down`: waiting for its ready(). `dead`: never again. */
  state: "up" | "down" | "dead";
}

/** Batches under way in one backend at most: one runs, a full one is ready to follow. */
export const MAX_RUNNING = 2;

export class BackendPool {
  readonly #instances: readonly Instance[];

  constructor(backends: readonly InferenceBackend[]) {
    this.#instances = backends.map((backend) => ({
      backend,
      model: backend.describe().model,
      running: 0,
      state: "up",
    }));
  }

  get size(): number {
    return this.#instances.length;
  }

  get up(): number {
    return this.#instances.filter((instance) => instance.state === "up").length;
  }

  /** None will ever run again. */
  get dead(): boolean {
    return this.#instances.every((instance) => instance.state === "dead");
  }

  /** The least busy backend that may take a batch now. */
  pick(full: boolean): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#instances) {
      if (instance.state !== "up" || instance.running >= (full ? MAX_RUNNING : 1)) continue;
      if (best === undefined || instance.running < best.running) best = instance;
    }
    return best;
  }

  /** Takes a backend that is down out of use until it says that it is back. @param changed called when it is, or never will be */
  failed(instance: Instance, error: TonetapError, signal: AbortSignal, changed: () => void): void {
    if (error.code !== "unavailable" && error.code !== "closed") return;
    if (instance.state !== "up") return;
    instance.state = "down";
    instance.backend.ready(signal).then(
      () => {
        instance.state = "up";
        changed();
      },
      () => {
        instance.state = "dead";
        changed();
      },
    );
  }
}
