/** A feature extractor that works frame by frame in float64: the reference and meyda. Owns rings and derivatives. */
import { TonetapError } from "../../core/errors.ts";
import { deltaLookahead, type FeatureSpec, featureChannels } from "../../core/feature-spec.ts";
import { deltaWeights } from "./delta.ts";
import { assertHeld, assertRoom, type FeatureExtractor } from "./extractor.ts";
import { type FrameAnalyser, frameEnergyDb } from "./frame-analyser.ts";

export class FrameExtractor implements FeatureExtractor {
  readonly spec: FeatureSpec;
  readonly channels: number;
  readonly capacity: number;
  readonly #analyser: FrameAnalyser;
  /** The next frame as far as it has come. */
  readonly #frame: Float64Array;
  #filled = 0;
  /** Row f % rows: the features of frame f in the order of featureNames(), then the level of speech in dB. */
  readonly #ring: Float64Array;
  readonly #rows: number;
  /** Derivatives in channel order: weights of frames f−h…f+h, and the first channel they are written to. */
  readonly #derivatives: { readonly weights: Float64Array; readonly channel: number }[] = [];
  readonly #lookahead: number;
  /** Frames analysed; derivatives are `#lookahead` frames behind. */
  #analysed = 0;
  #closed = false;

  constructor(spec: FeatureSpec, capacity: number, analyser: FrameAnalyser) {
    this.spec = spec;
    this.channels = featureChannels(spec);
    this.capacity = capacity;
    this.#analyser = analyser;
    this.#frame = new Float64Array(spec.frameLength);
    this.#lookahead = deltaLookahead(spec);
    // The oldest readable frame's derivatives are done; frames in the making need theirs on both sides.
    this.#rows = capacity + 2 * this.#lookahead + 1;
    this.#ring = new Float64Array(this.#rows * (this.channels + 1));
    if (spec.delta) this.#derivatives.push({ weights: deltaWeights(spec.deltaWidth, 1), channel: spec.mfcc });
    if (spec.delta2) {
      const channel = spec.mfcc * (spec.delta ? 2 : 1);
      this.#derivatives.push({ weights: deltaWeights(spec.deltaWidth, 2), channel });
    }
  }

  get completed(): number {
    return Math.max(0, this.#analysed - this.#lookahead);
  }

  push(samples: Float32Array): number {
    this.#assertOpen();
    const { frameLength, hopLength } = this.spec;
    for (const sample of samples) {
      this.#frame[this.#filled++] = sample;
      if (this.#filled === frameLength) {
        this.#analyse();
        this.#frame.copyWithin(0, hopLength);
        this.#filled = frameLength - hopLength;
      }
    }
    return this.completed;
  }

  copy(first: number, count: number, out: Float32Array, stride: number): void {
    this.#assertOpen();
    assertHeld(first, count, this.completed, this.capacity);
    assertRoom(this.channels, count, out, stride);
    for (let t = 0; t < count; t++) {
      const row = this.#row(first + t);
      for (let c = 0; c < this.channels; c++) out[c * stride + t] = this.#ring[row + c] ?? 0;
    }
  }

  speechDb(frame: number): number {
    this.#assertOpen();
    assertHeld(frame, 1, this.completed, this.capacity);
    return this.#ring[this.#row(frame) + this.channels] ?? 0;
  }

  reset(): void {
    this.#assertOpen();
    this.#filled = 0;
    this.#analysed = 0;
  }

  wipe(): void {
    this.reset();
    this.#frame.fill(0);
    this.#ring.fill(0);
    // The analyser's work space holds the last frame: silence takes its place.
    this.#analyser.analyse(this.#frame);
  }

  close(): void {
    if (this.#closed) return;
    this.wipe();
    this.#closed = true;
  }

  #assertOpen(): void {
    if (this.#closed) throw new TonetapError("closed", "the feature extractor is closed");
  }

  /** Where frame f begins in the ring; before the first frame stands the first. */
  #row(frame: number): number {
    return (Math.max(0, frame) % this.#rows) * (this.channels + 1);
  }

  #analyse(): void {
    const { spec } = this;
    const features = this.#analyser.analyse(this.#frame);
    const row = this.#row(this.#analysed++);
    this.#ring.set(features.mfcc, row);
    let channel = row + spec.mfcc * (1 + this.#derivatives.length);
    if (spec.logMel) {
      this.#ring.set(features.logMel, channel);
      channel += spec.melBands;
    }
    this.#ring.set(features.chroma, channel);
    if (spec.logEnergy) this.#ring[channel + spec.chroma] = frameEnergyDb(this.#frame);
    this.#ring[row + this.channels] = features.speechDb;
    const newest = this.#analysed - 1 - this.#lookahead;
    if (newest >= 0) this.#differentiate(newest);
  }

  #differentiate(frame: number): void {
    const row = this.#row(frame);
    for (const { weights, channel } of this.#derivatives) {
      for (let c = 0; c < this.spec.mfcc; c++) {
        let sum = 0;
        weights.forEach((weight, i) => {
          sum += weight * (this.#ring[this.#row(frame - this.#lookahead + i) + c] ?? 0);
        });
        this.#ring[row + channel + c] = sum;
      }
    }
  }
}
