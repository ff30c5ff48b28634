/** Read access to one participant's frames with their speech and loss flags. Filling it is feature-frames.ts. */
import type { FrameStore } from "../core/media.ts";
import type { FeatureExtractor } from "./features/index.ts";

/** Flags of a frame. */
const SPEECH = 1;
const LOST = 2;

/** The extractor's ring of features beside a ring of flags of the same length. */
export class FrameRing implements FrameStore {
  readonly #extractor: FeatureExtractor;
  readonly #flags: Uint8Array;

  constructor(extractor: FeatureExtractor) {
    this.#extractor = extractor;
    this.#flags = new Uint8Array(extractor.capacity);
  }

  get channels(): number {
    return this.#extractor.channels;
  }

  get capacity(): number {
    return this.#extractor.capacity;
  }

  copy(first: number, count: number, out: Float32Array, stride: number): void {
    this.#extractor.copy(first, count, out, stride);
  }

  isSpeech(frame: number): boolean {
    return ((this.#flags[frame % this.#flags.length] ?? 0) & SPEECH) !== 0;
  }

  isLost(frame: number): boolean {
    return ((this.#flags[frame % this.#flags.length] ?? 0) & LOST) !== 0;
  }

  /** Takes a new frame in, not speech so far. */
  add(frame: number, lost: boolean): void {
    this.#flags[frame % this.#flags.length] = lost ? LOST : 0;
  }

  markSpeech(frame: number): void {
    const slot = frame % this.#flags.length;
    this.#flags[slot] = (this.#flags[slot] ?? 0) | SPEECH;
  }

  wipe(): void {
    this.#flags.fill(0);
  }
}
