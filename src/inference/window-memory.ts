/** Rows of shared memory, one a window: written once by the batcher, read in place by any thread. Who waits in which row is batcher.ts. */
import { assertRange, TonetapError } from "../core/errors.ts";
import { featureChannels } from "../core/feature-spec.ts";
import type { ModelManifest } from "../core/model.ts";
import type { FeatureWindow } from "../core/window.ts";

/** Sizes of a model's tensors: features [N, C, 1, T], mask [N, 1, 1, T], logits [N, L]. */
export interface ModelShape {
  /** C */
  readonly channels: number;
  /** T */
  readonly frames: number;
  /** L */
  readonly labels: number;
}

export function modelShape(manifest: ModelManifest): ModelShape {
  return {
    channels: featureChannels(manifest.features),
    frames: manifest.window.frames,
    labels: manifest.labels.length,
  };
}

/** The part of {@link WindowMemory} that a thread needs; survives structured cloning. */
export interface WindowMemoryView {
  /** [rows, C, T] */
  readonly features: Float32Array<SharedArrayBuffer>;
  /** [rows, T]: 1 where a frame is valid, else 0. */
  readonly masks: Float32Array<SharedArrayBuffer>;
}

export class WindowMemory implements WindowMemoryView {
  readonly rows: number;
  readonly shape: ModelShape;
  readonly features: Float32Array<SharedArrayBuffer>;
  readonly masks: Float32Array<SharedArrayBuffer>;
  readonly #taken: Uint8Array;
  /** Floats of each row that were written since it was last wiped. */
  readonly #written: Uint32Array;
  #free: number;
  /** No row below it is free. */
  #lowest = 0;

  /**
   * The operating system gives pages as rows are first written, so unused rows cost nothing.
   * @throws TonetapError invalid-argument when the machine cannot give that much.
   */
  constructor(rows: number, shape: ModelShape) {
    assertRange("window memory rows", rows, 1, 1 << 24);
    this.rows = rows;
    this.shape = shape;
    const floats = rows * shape.channels * shape.frames;
    try {
      this.features = new Float32Array(new SharedArrayBuffer(4 * floats));
      this.masks = new Float32Array(new SharedArrayBuffer(4 * rows * shape.frames));
    } catch (error) {
      throw new TonetapError(
        "invalid-argument",
        `${rows} windows of ${shape.channels} × ${shape.frames} features need ${Math.ceil((4 * floats) / 1e6)} MB of shared memory: lower the queue limit`,
        { cause: error },
      );
    }
    this.#taken = new Uint8Array(rows);
    this.#written = new Uint32Array(rows);
    this.#free = rows;
  }

  /** Rows that nobody holds. */
  get free(): number {
    return this.#free;
  }

  /**
   * Takes the row after `previous` if it is free, else the lowest free one. Rows that follow each other are one
   * tensor to the model; a batch that is scattered has to be gathered first.
   * @param previous the row before, or −1
   * @returns undefined when none is free
   */
  take(previous: number): number | undefined {
    if (this.#free === 0) return undefined;
    let row = previous + 1;
    if (previous < 0 || row >= this.rows || this.#taken[row] === 1) {
      row = this.#lowest;
      while (this.#taken[row] === 1) row++;
      this.#lowest = row;
    }
    this.#taken[row] = 1;
    this.#free--;
    return row;
  }

  /** Gives a row back and wipes it: nothing of a voice stays behind its answer. 5 µs a window. */
  release(row: number): void {
    if (this.#taken[row] !== 1) throw new TonetapError("internal", `window row ${row} is not held`);
    const size = this.shape.channels * this.shape.frames;
    this.features.fill(0, row * size, row * size + (this.#written[row] ?? 0));
    this.#written[row] = 0;
    this.#taken[row] = 0;
    this.#free++;
    if (row < this.#lowest) this.#lowest = row;
  }

  /** Copies one window into `row`: features [C, T] and a mask of `frames` ones. */
  write(row: number, features: Float32Array, frames: number): void {
    const size = this.shape.channels * this.shape.frames;
    if (features.length > size) {
      throw new TonetapError("internal", `a window row takes ${size} features, got ${features.length}`);
    }
    this.features.set(features, row * this.shape.channels * this.shape.frames);
    this.#written[row] = features.length;
    const mask = row * this.shape.frames;
    this.masks.fill(1, mask, mask + frames);
    this.masks.fill(0, mask + frames, mask + this.shape.frames);
  }

  /** Copies a window's last frames alone into `row`: features [C, fresh], one channel after the other; no mask. */
  writeFresh(row: number, features: Float32Array): void {
    this.features.set(features, row * this.shape.channels * this.shape.frames);
    this.#written[row] = features.length;
  }
}

/** What a batcher checks of a window before it takes it. @throws TonetapError invalid-argument */
export function assertWindow(window: FeatureWindow, { channels, frames }: ModelShape): void {
  assertRange("frames of a window", window.frames, 1, frames);
  const { fresh = window.frames, freshFeatures } = window;
  assertRange("fresh frames of a window", fresh, 1, window.frames);
  // Where the fresh frames are given, the others are computed only if somebody reads them.
  const [given, length] = freshFeatures === undefined ? [window.features, frames] : [freshFeatures, fresh];
  if (given.length === channels * length) return;
  throw new TonetapError(
    "invalid-argument",
    `a window must have ${channels} × ${length} features, got ${given.length}`,
  );
}

/** A window's fresh frames, [C, fresh]: as given, or cut out of all of them. */
export function freshFeatures(
  window: FeatureWindow,
  { channels, frames: longest }: ModelShape,
): Float32Array {
  if (window.freshFeatures !== undefined) return window.freshFeatures;
  const { features, frames, fresh = frames } = window;
  const cut = new Float32Array(channels * fresh);
  for (let c = 0; c < channels; c++) {
    const end = c * longest + frames;
    cut.set(features.subarray(end - fresh, end), c * fresh);
  }
  return cut;
}

/** What every backend's run() checks first. @throws TonetapError invalid-argument */
export function assertBatchFits(
  { memory, rows }: { readonly memory: WindowMemory; readonly rows: readonly number[] },
  out: Float32Array,
  shape: ModelShape | undefined,
  maxBatch: number,
): void {
  if (
    shape === undefined ||
    memory.shape.channels !== shape.channels ||
    memory.shape.frames !== shape.frames
  ) {
    throw new TonetapError(
      "invalid-argument",
      `window memory must be ${shape?.channels} × ${shape?.frames}, got ${memory.shape.channels} × ${memory.shape.frames}`,
    );
  }
  assertRange("batch size", rows.length, 1, maxBatch, "windows");
  assertRange("out length", out.length, rows.length * shape.labels, Number.MAX_SAFE_INTEGER);
}
