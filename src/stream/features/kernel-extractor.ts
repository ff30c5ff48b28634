/** The fast feature extractor: one participant's slot in the WASM kernel. Arithmetic is assembly/. */
import { TonetapError } from "../../core/errors.ts";
import { deltaLookahead, type FeatureSpec, featureChannels } from "../../core/feature-spec.ts";
import { assertHeld, assertRoom, type FeatureExtractor } from "./extractor.ts";
import { type FeatureKernel, PLAN } from "./kernel.ts";
import { GROUP_FRAMES } from "./kernel-plan.ts";

/**
 * Frames come in groups of four, 4g … 4g + 3. A group is computed when all four frames are there, or earlier when
 * more than `maxHoldFrames` wait in it; it is then computed again as it fills.
 *
 * The ring holds log-mel bands and chroma in 16 bits and levels in float32; MFCC and derivatives are linear in the bands
 * and are computed when frames are read. Memory a participant: 40,704 bytes for the default spec and capacity.
 */
export class KernelExtractor implements FeatureExtractor {
  readonly spec: FeatureSpec;
  readonly channels: number;
  readonly capacity: number;
  readonly #kernel: FeatureKernel;
  readonly #maxHoldFrames: number;
  readonly #lookahead: number;
  readonly #slot: number;
  /** Index of the PCM buffer's first sample in the kernel's floats. It begins with frame 4 · #groups. */
  readonly #pcm: number;
  #filled = 0;
  /** Groups whose four frames are done. */
  #groups = 0;
  /** Frames done of the group in the making, 0–3. */
  #partial = 0;
  #completed = 0;
  #closed = false;

  constructor(kernel: FeatureKernel, spec: FeatureSpec, capacity: number, maxHoldFrames: number) {
    this.spec = spec;
    this.channels = featureChannels(spec);
    this.capacity = capacity;
    this.#kernel = kernel;
    this.#maxHoldFrames = maxHoldFrames;
    this.#lookahead = deltaLookahead(spec);
    this.#slot = kernel.acquire();
    this.#pcm = (this.#slot + kernel.plan.pcmOffset) / 4;
  }

  get completed(): number {
    return this.#completed;
  }

  push(samples: Float32Array): number {
    this.#assertOpen();
    const { floats, plan } = this.#kernel;
    for (let taken = 0; taken < samples.length; ) {
      const count = Math.min(samples.length - taken, plan.pcmSamples - this.#filled);
      const part = count === samples.length ? samples : samples.subarray(taken, taken + count);
      floats.set(part, this.#pcm + this.#filled);
      this.#filled += count;
      taken += count;
      this.#computeGroups(floats);
    }
    this.#computePartial();
    return this.#completed;
  }

  copy(first: number, count: number, out: Float32Array, stride: number): void {
    this.#assertOpen();
    assertHeld(first, count, this.#completed, this.capacity);
    assertRoom(this.channels, count, out, stride);
    const { floats } = this.#kernel;
    const from = this.#kernel.gather(this.#slot, first, count);
    if (stride === count) {
      out.set(floats.subarray(from, from + this.channels * count));
      return;
    }
    for (let c = 0; c < this.channels; c++) {
      out.set(floats.subarray(from + c * count, from + (c + 1) * count), c * stride);
    }
  }

  speechDb(frame: number): number {
    this.#assertOpen();
    assertHeld(frame, 1, this.#completed, this.capacity);
    const { floats, plan } = this.#kernel;
    return floats[(this.#slot + plan.speechOffset) / 4 + (frame % plan.ringFrames)] ?? 0;
  }

  reset(): void {
    this.#assertOpen();
    this.#kernel.restart(this.#slot);
    this.#filled = 0;
    this.#groups = 0;
    this.#partial = 0;
    this.#completed = 0;
  }

  wipe(): void {
    this.reset();
    this.#kernel.wipe(this.#slot);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kernel.release(this.#slot);
  }

  #assertOpen(): void {
    if (this.#closed) throw new TonetapError("closed", "the feature extractor is closed");
  }

  /** Computes the groups that are all there, and moves the rest of the audio to the front. */
  #computeGroups(floats: Float32Array): void {
    const { groupSamples } = this.#kernel.plan;
    const step = GROUP_FRAMES * this.spec.hopLength;
    let at = 0;
    for (; this.#filled - at >= groupSamples; at += step) {
      this.#analyse(at);
      this.#groups++;
      this.#partial = 0;
    }
    if (at === 0) return;
    this.#complete();
    floats.copyWithin(this.#pcm, this.#pcm + at, this.#pcm + this.#filled);
    this.#filled -= at;
  }

  /** Computes a group that is not all there if too many of its frames wait. */
  #computePartial(): void {
    const { frameLength, hopLength } = this.spec;
    if (this.#filled < frameLength) return;
    const ready = Math.floor((this.#filled - frameLength) / hopLength) + 1;
    if (ready - this.#partial <= this.#maxHoldFrames) return;
    this.#analyse(0);
    this.#partial = ready;
    this.#complete();
  }

  #analyse(offset: number): void {
    this.#kernel.exports.analyse(PLAN, 4 * (this.#pcm + offset), this.#slot, this.#groups);
  }

  /** Frames whose derivatives can be told. */
  #complete(): void {
    this.#completed = Math.max(0, GROUP_FRAMES * this.#groups + this.#partial - this.#lookahead);
  }
}
