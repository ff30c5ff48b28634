/**
 * Brings one participant's windows to the scale of the model that judges them: what the normaliser learns, when its scale
 * is kept, and what a window carries. Where windows begin and end is sliding-windows.ts.
 */
import type { FrameStore } from "../core/media.ts";
import type { Normalisation } from "../core/model.ts";
import type { FeatureWindow, WindowInfo, WindowScales } from "../core/window.ts";
import { RunningNormaliser } from "./normaliser.ts";
import { scratchLender, type WindowLender, withScratch } from "./scratch.ts";
import type { TalkSpurt } from "./talk-spurts.ts";
import { WindowContinuity } from "./window-continuity.ts";

export interface WindowScalerOptions {
  readonly normalisation: Normalisation;
  readonly channels: number;
  /** T: frames of the model's input. */
  readonly frames: number;
  /** Frames between ticks. */
  readonly hopFrames: number;
  readonly scales: (() => WindowScales) | undefined;
  /** Lends the memory that windows are made in; default: the thread's own. */
  readonly lender?: WindowLender | undefined;
}

export class WindowScaler {
  readonly #channels: number;
  readonly #frames: number;
  readonly #scales: (() => WindowScales) | undefined;
  readonly #lender: WindowLender;
  readonly #normaliser: RunningNormaliser;
  readonly #continuity: WindowContinuity;
  /** Which scale the normaliser is on, the model's steps, and the scale of a model that looks on. */
  #scale: Normalisation;
  #strideFrames: number | undefined;
  #shadow: { readonly scale: Normalisation; readonly normaliser: RunningNormaliser } | undefined;
  /** Which of the newest frames the normaliser learns from. */
  readonly #chosen: Uint8Array;
  /** Frames shown to the normaliser. */
  #observed = 0;
  /** Counts what makes an earlier window one that cannot be made again. */
  #changes = 0;

  /** @throws TonetapError invalid-argument when the normalisation does not fit the channels. */
  constructor(options: WindowScalerOptions) {
    const { normalisation, channels, frames, hopFrames, scales, lender = scratchLender } = options;
    this.#lender = lender;
    this.#channels = channels;
    this.#frames = frames;
    this.#scales = scales;
    this.#scale = normalisation;
    this.#normaliser = new RunningNormaliser(normalisation, channels);
    this.#continuity = new WindowContinuity(hopFrames);
    const newest = Math.min(frames, Math.ceil(hopFrames) + 1);
    this.#chosen = new Uint8Array(this.#normaliser.adaptive ? newest : 0);
  }

  /** What was learnt of a voice holds for every model; its scale does not. */
  followModels(): void {
    const scales = this.#scales?.();
    if (scales === undefined) return;
    const { own, shadow, strideFrames } = scales;
    if (own !== this.#scale || strideFrames !== this.#strideFrames) {
      this.#changes++;
      this.#strideFrames = strideFrames;
      this.#continuity.follow(strideFrames);
      if (!this.#continuity.active) this.#normaliser.thaw();
    }
    if (own !== this.#scale) {
      this.#scale = own;
      this.#normaliser.rebase(own);
    }
    if (shadow === this.#shadow?.scale) return;
    this.#shadow = shadow && { scale: shadow, normaliser: this.#normaliser.fork(shadow) };
  }

  /** Shows the normaliser the speech since it was last called. @param end exclusive @param oldest frame that is held */
  learn(store: FrameStore, end: number, oldest: number): void {
    if (!this.#normaliser.adaptive) return;
    const stride = this.#chosen.length;
    const first = Math.max(this.#observed, end - stride, oldest);
    this.#observed = end;
    let speech = 0;
    for (let frame = first; frame < end; frame++) {
      const chosen = Number(store.isSpeech(frame) && !store.isLost(frame));
      this.#chosen[frame - first] = chosen;
      speech += chosen;
    }
    if (speech === 0) return;
    withScratch(this.#channels * stride, (fresh) => {
      store.copy(first, end - first, fresh, stride);
      this.#normaliser.observe(fresh, stride, end - first, this.#chosen);
      this.#shadow?.normaliser.observe(fresh, stride, end - first, this.#chosen);
    });
  }

  /** See {@link WindowContinuity.align}. */
  align(first: number, end: number, oldest: number): number {
    return this.#continuity.align(first, end, oldest);
  }

  /**
   * Emits frames [first, end) as a window for the model.
   * @param open the talk-spurt that goes on: its windows may continue each other
   * @param holds whether the store still has a frame
   */
  give(
    store: FrameStore,
    first: number,
    end: number,
    info: WindowInfo,
    open: TalkSpurt | undefined,
    holds: (frame: number) => boolean,
    emit: (window: FeatureWindow) => void,
  ): void {
    const frames = end - first;
    const change = ++this.#changes;
    const fresh = this.#continue(open, frames, end);
    const lent: Float32Array[] = [];
    /** Frames [from, end) on a scale, [C, stride]. */
    const scaled = (scale: RunningNormaliser, from: number, stride: number): Float32Array => {
      const features = this.#lender.borrow(this.#channels * stride);
      lent.push(features);
      store.copy(from, end - from, features, stride);
      scale.apply(features, stride, end - from);
      return features;
    };
    const whole = (): Float32Array => scaled(this.#normaliser, first, this.#frames);
    const shadow = this.#shadow && {
      shadowFeatures: scaled(this.#shadow.normaliser, first, this.#frames),
    };
    const writeWhole = (out: Float32Array): boolean => {
      if (change !== this.#changes || !holds(first)) return false;
      store.copy(first, frames, out, this.#frames);
      this.#normaliser.apply(out, this.#frames, frames);
      return true;
    };
    const common = { kind: "window", frames, ...info, ...shadow } as const;
    try {
      if (fresh === undefined) emit({ ...common, features: whole() });
      else if (fresh === frames) emit({ ...common, features: whole(), fresh });
      else {
        let features: Float32Array | undefined;
        emit({
          ...common,
          get features() {
            features ??= whole();
            return features;
          },
          fresh,
          freshFeatures: scaled(this.#normaliser, end - fresh, fresh),
          writeWhole,
        });
      }
    } finally {
      for (const buffer of lent) this.#lender.giveBack(buffer);
    }
  }

  /** @returns what is fresh in the window that goes out now; undefined where windows stand alone */
  #continue(open: TalkSpurt | undefined, frames: number, end: number): number | undefined {
    if (!this.#continuity.active) return undefined;
    const { heard } = this.#normaliser;
    const fresh = open === undefined ? frames : this.#continuity.fresh(open, frames, end, heard);
    if (fresh === frames) this.#normaliser.freeze();
    if (open === undefined) {
      this.#continuity.break();
      return undefined;
    }
    this.#continuity.note(open, end, fresh === frames, heard);
    return fresh;
  }

  /** Frame numbers begin anew; what was learnt of the voice holds. */
  restart(): void {
    this.#changes++;
    this.#observed = 0;
    this.#continuity.break();
  }

  /** Another voice, or none any more: nothing learnt stays. */
  forget(): void {
    this.restart();
    this.#chosen.fill(0);
    this.#normaliser.reset();
    this.#shadow?.normaliser.reset();
  }
}
