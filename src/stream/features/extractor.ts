/** The contract of a feature extractor: PCM in, feature frames out. What computes them is chosen in index.ts. */
import { TonetapError } from "../../core/errors.ts";
import type { FeatureSpec } from "../../core/feature-spec.ts";
import type { FrameStore } from "../../core/media.ts";

/**
 * Features of one participant's audio: a ring of the latest frames. Speech and loss flags are not its business.
 *
 * Frame f is computed from samples [f·hop, f·hop + frameLength), counted from the last reset.
 * Derivatives look `deltaLookahead(spec)` frames ahead, so a frame is complete that much later.
 * Before frame 0 the derivatives see frame 0 repeated (SciPy's mode "nearest").
 */
export interface FeatureExtractor extends Pick<FrameStore, "channels" | "capacity" | "copy"> {
  readonly spec: FeatureSpec;
  /** Frames since the last reset whose features, derivatives included, are complete. */
  readonly completed: number;
  /**
   * Appends audio of any length and computes what it completes.
   * @param samples mono, 16 kHz, [−1, 1]; borrowed for the call.
   * @returns `completed`. A push that completes more than `capacity` frames leaves only the newest readable.
   * @throws TonetapError closed.
   */
  push(samples: Float32Array): number;
  /**
   * 10·log10 of the mean square of a complete frame between 200 and 4,000 Hz, dB re full scale, floor −100. There
   * whatever the spec asks for: it is what voice activity is judged by.
   * @throws TonetapError invalid-argument when the frame is not held, closed.
   */
  speechDb(frame: number): number;
  /** All history is void: the next sample pushed is sample 0 of frame 0. */
  reset(): void;
  /** Overwrites all audio and features with zeros and resets: consent was withdrawn. */
  wipe(): void;
  /** Wipes, and gives the memory back for others. Idempotent; every later use throws `closed`. */
  close(): void;
}

export interface FeatureExtractorOptions {
  /** Complete frames that stay readable. 16–65,536; a window's frames and some slack. Default 320. */
  readonly capacityFrames?: number;
  /** `fast` (default): the WASM-SIMD kernel. `reference`: float64 TypeScript. A meyda spec has but one implementation. */
  readonly implementation?: "fast" | "reference";
  /**
   * `fast` only: frames that may wait for others, because the kernel computes four at the price of one. 0–3.
   * 3 (default) holds a frame back by at most three hops, 30 ms by default; 0 computes each frame at once and
   * costs twice as much with 20 ms of audio a push.
   */
  readonly maxHoldFrames?: number;
}

/** @throws TonetapError invalid-argument unless frames [first, first + count) are complete and still held. */
export function assertHeld(first: number, count: number, completed: number, capacity: number): void {
  const oldest = Math.max(0, completed - capacity);
  const whole = Number.isInteger(first) && Number.isInteger(count);
  if (whole && count >= 0 && first >= oldest && first + count <= completed) return;
  throw new TonetapError(
    "invalid-argument",
    `frames [${first}, ${first + count}) are not held: [${oldest}, ${completed}) are`,
  );
}

/** @throws TonetapError invalid-argument when `out` cannot take [channels, count] at this stride. */
export function assertRoom(channels: number, count: number, out: Float32Array, stride: number): void {
  if (!Number.isInteger(stride) || stride < count || out.length < (channels - 1) * stride + count) {
    throw new TonetapError(
      "invalid-argument",
      `${channels} channels of ${count} frames do not fit ${out.length} values at stride ${stride}`,
    );
  }
}
