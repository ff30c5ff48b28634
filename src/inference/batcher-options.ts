/** What a batcher is told when it is made. What it does with it is batcher.ts. */
import type { Clock } from "../core/clock.ts";
import type { ModelManifest } from "../core/model.ts";
import type { InferenceBackend } from "./backend.ts";

export interface BatcherOptions {
  /** Model that every backend has loaded. */
  readonly manifest: ModelManifest;
  /** Loaded; one at least. They are used side by side and stay their owner's to close. */
  readonly backends: readonly InferenceBackend[];
  /** Windows in one batch at most. Default and limit: the smallest maxBatch of the backends. */
  readonly maxBatch?: number;
  /**
   * Sizes at which a batch goes out without waiting for a bigger one: the largest of them that the waiting windows
   * fill. Some devices are quickest at these. 1 … maxBatch each; default: maxBatch alone.
   */
  readonly preferredBatches?: readonly number[];
  /** How long the oldest window waits for batch-mates while a backend is idle, ms. 0–50, default 5; 0 sends at once. */
  readonly maxDelayMs?: number;
  /** The same on a busy machine, of which `followLoad()` tells, ms. 0–50, default 0; less than `maxDelayMs`: as that. */
  readonly busyDelayMs?: number;
  /** A window that has waited this long is dropped rather than answered stale, ms. 10–60,000, default 1,000. */
  readonly deadlineMs?: number;
  /**
   * Windows waiting at most; beyond it one is dropped, see fair-queue.ts. 1–1,000,000, default 2,048. One takes
   * 4·(C + 1)·T bytes (103 kB for 85 × 300), from when its place is first used.
   */
  readonly queueLimit?: number;
  /** Windows of each tenant's turn, 1–1,000, where windows queue up; 1 for tenants not named. */
  readonly tenantWeights?: Readonly<Record<string, number>>;
  /**
   * Streams that a streaming model carries from window to window at most; the one longest unused goes first. 1–1,048,576,
   * default 4,096, or as many as fit into 1 GiB.
   */
  readonly streamLimit?: number;
  readonly clock?: Clock;
}
