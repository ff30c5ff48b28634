/** Read access to one participant's frames with their speech and loss flags. Filling it is feature-frames.ts. */
import type { FrameStore } from "../core/media.ts";
import type { FeatureExtractor } from "./features/index.ts";

/** The extractor's ring of features beside a ring of flags of the same length. */
export class FrameRing implements FrameStore {
  readonly #extractor: FeatureExtractor;
  readonly #speech: Uint8Array;
  readonly #lost: Uint8Array;

  constructor(extractor: FeatureExtractor) {
    this.#extractor = extractor;
    this.#speech = new Uint8Array(extractor.capacity);
    this.#lost = new Uint8Array(extractor.capacity);
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
    return this.#speech[frame % this.#speech.length] === 1;
  }

  isLost(frame: number): boolean {
    return this.#lost[frame % this.#lost.length] === 1;
  }

  /** Takes a new frame in, not speech so far. */
  add(frame: number, lost: boolean): void {
    this.#speech[frame % this.#speech.length] = 0;
    this.#lost[frame % this.#lost.length] = Number(lost);
  }

  markSpeech(frame: number): void {
    this.#speech[frame % this.#speech.length] = 1;
  }

  wipe(): void {
    this.#speech.fill(0);
    this.#lost.fill(0);
  }
}
