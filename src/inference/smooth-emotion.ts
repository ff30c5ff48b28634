/** Turns the model's estimates of single windows into a steady statement: smoothing, hysteresis, abstention, affect. */
import { defer, map, type OperatorFunction } from "rxjs";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { LabelAffect, ModelManifest } from "../core/model.ts";
import type { EmotionEstimate, EmotionResult, EmotionUnit, EstimateUnit } from "../core/window.ts";
import { windowInfo } from "../core/window-info.ts";

/** The first three are the model package's; a manifest can be spread into the options. */
export interface SmoothingOptions extends Pick<ModelManifest, "labels" | "affect" | "abstainBelow"> {
  /** Of another model that an estimate may come from, by its `name@version`; undefined: the same. */
  readonly modelOf?: (id: string) => Pick<ModelManifest, "affect" | "abstainBelow"> | undefined;
  /** Media time, ms, over which older windows fade to 1/e. 0–10,000, default 1,000; 0 shows each window alone. */
  readonly timeConstantMs?: number;
  /** Probability by which another label must lead to replace the shown one at once. 0–1, default 0.08. */
  readonly switchMargin?: number;
  /** Windows in a row that another label must lead by less than that to replace it nevertheless. 1–100, default 4. */
  readonly switchWindows?: number;
}

/**
 * One participant's smoothing. With p the probabilities of a window that ends Δ ms of media after the one before it:
 *
 *     a = 1 − exp(−Δ / timeConstantMs)          share of the new window
 *     s ← s + a · (p − s)                       scores; they sum to 1 as p does
 *     valence = Σ sᵢ · valenceᵢ                 arousal likewise
 *
 * The first window of a talk-spurt, or after media time ran backwards, starts anew: s = p and top = argmax s. After
 * that `top` changes only to the label with the highest score, once this leads `top` by `switchMargin`, or has been
 * the highest for `switchWindows` windows in a row. Probabilities rather than their logarithms are averaged: windows
 * overlap, and a mean of logarithms would count the same audio as evidence many times over.
 */
export class EmotionSmoother {
  readonly #labels: readonly string[];
  readonly #modelOf: SmoothingOptions["modelOf"];
  /** Of the model that spoke last. */
  #affect: readonly LabelAffect[];
  #abstainBelow: number;
  #model: string | undefined;
  readonly #timeConstantMs: number;
  readonly #switchMargin: number;
  readonly #switchWindows: number;
  readonly #scores: Float64Array;
  #top = 0;
  #challenger = -1;
  #challengerWindows = 0;
  /** Media time of the last window; undefined before the first of a talk-spurt. */
  #lastEndMs: number | undefined;

  constructor(options: SmoothingOptions) {
    const { labels, affect, abstainBelow, timeConstantMs = 1_000, switchMargin = 0.08 } = options;
    this.#switchWindows = options.switchWindows ?? 4;
    assertRange("labels", labels.length, 1, 1_024);
    assertRange("abstainBelow", abstainBelow, 0, 1);
    assertRange("timeConstantMs", timeConstantMs, 0, 10_000, "ms");
    assertRange("switchMargin", switchMargin, 0, 1);
    assertRange("switchWindows", this.#switchWindows, 1, 100);
    this.#labels = labels;
    this.#modelOf = options.modelOf;
    this.#affect = affectsOf(labels, affect);
    this.#abstainBelow = abstainBelow;
    this.#timeConstantMs = timeConstantMs;
    this.#switchMargin = switchMargin;
    this.#scores = new Float64Array(labels.length);
  }

  /** Forgets what was said: the next window starts anew. */
  reset(): void {
    this.#lastEndMs = undefined;
  }

  /** @throws TonetapError invalid-argument when the estimate has another number of labels */
  next(estimate: EmotionEstimate): EmotionResult {
    if (estimate.model !== this.#model) this.#heed(estimate.model);
    this.#mix(estimate);
    let valence = 0;
    let arousal = 0;
    for (const [i, affect] of this.#affect.entries()) {
      const score = this.#scores[i] ?? 0;
      valence += score * affect.valence;
      arousal += score * affect.arousal;
    }
    const confidence = this.#scores[this.#top] ?? 0;
    return {
      ...windowInfo(estimate),
      kind: "emotion",
      scores: Float32Array.from(this.#scores),
      top: this.#top,
      confidence,
      abstained: confidence < this.#abstainBelow,
      valence,
      arousal,
      model: estimate.model,
      batchSize: estimate.batchSize,
      queuedMs: estimate.queuedMs,
      inferenceMs: estimate.inferenceMs,
    };
  }

  #heed(model: string): void {
    this.#model = model;
    const other = this.#modelOf?.(model);
    if (other === undefined) return;
    this.#affect = affectsOf(this.#labels, other.affect);
    this.#abstainBelow = other.abstainBelow;
  }

  #mix({ probabilities, mediaEndMs }: EmotionEstimate): void {
    const scores = this.#scores;
    assertRange("probabilities", probabilities.length, scores.length, scores.length);
    const elapsedMs = this.#lastEndMs === undefined ? -1 : mediaEndMs - this.#lastEndMs;
    this.#lastEndMs = mediaEndMs;
    if (elapsedMs < 0) {
      scores.set(probabilities);
      this.#show(highest(scores));
      return;
    }
    const share = this.#timeConstantMs === 0 ? 1 : -Math.expm1(-elapsedMs / this.#timeConstantMs);
    for (const [i, probability] of probabilities.entries()) {
      const score = scores[i] ?? 0;
      scores[i] = score + share * (probability - score);
    }
    this.#choose();
  }

  #choose(): void {
    const leader = highest(this.#scores);
    const lead = (this.#scores[leader] ?? 0) - (this.#scores[this.#top] ?? 0);
    // A tie is no reason to change.
    if (lead <= 0) {
      this.#show(this.#top);
      return;
    }
    this.#challengerWindows = leader === this.#challenger ? this.#challengerWindows + 1 : 1;
    this.#challenger = leader;
    if (lead >= this.#switchMargin || this.#challengerWindows >= this.#switchWindows) this.#show(leader);
  }

  #show(label: number): void {
    this.#top = label;
    this.#challenger = -1;
    this.#challengerWindows = 0;
  }
}

/** Smooths one participant's estimates, anew for each talk-spurt; everything else passes as it came. */
export function smoothEmotion(options: SmoothingOptions): OperatorFunction<EstimateUnit, EmotionUnit> {
  return (source) =>
    defer(() => {
      const smoother = new EmotionSmoother(options);
      return source.pipe(
        map((unit) => {
          if (unit.kind === "estimate") return smoother.next(unit);
          if (unit.kind === "speech" && unit.state === "started") smoother.reset();
          return unit;
        }),
      );
    });
}

/** @throws TonetapError invalid-argument */
function affectsOf(labels: readonly string[], affect: ModelManifest["affect"]): LabelAffect[] {
  return labels.map((label) => {
    const value = affect[label];
    if (value === undefined) throw new TonetapError("invalid-argument", `affect has no entry for ${label}`);
    return value;
  });
}

/** Index of the highest score, the first of equals. */
function highest(scores: Float64Array): number {
  let best = 0;
  for (const [i, score] of scores.entries()) {
    if (score > (scores[best] ?? 0)) best = i;
  }
  return best;
}
