/** Brings raw features to the scale a model was trained on, and follows one voice. Which frames it learns from is the caller's. */
import { TonetapError } from "../core/errors.ts";
import type { Normalisation } from "../core/model.ts";

/** A voice's deviation never counts as less than this share of the prior's, as in training: a constant channel must not blow up. */
const LEAST_STD_SHARE = 0.01;

/**
 * `global`: (x − mean) / std, always the same.
 * `speaker`: mean and deviation of all frames so far, of which the prior is the first `priorFrames`. Beyond
 * `maxFrames` every frame's weight, the prior's too, shrinks so that they count as `maxFrames` together.
 */
export class RunningNormaliser {
  readonly #channels: number;
  readonly #adaptive: boolean;
  #normalisation: Normalisation;
  /** Frames that the prior counts for by now. */
  #priorFrames = 0;
  /** Weighted sums over the prior and the speech frames so far, one a channel. */
  readonly #sums: Float64Array;
  readonly #squares: Float64Array;
  readonly #means: Float64Array;
  readonly #scales: Float64Array;
  #frames = 0;
  #heard = 0;
  #frozen = false;

  /** @throws TonetapError invalid-argument when the normalisation does not fit `channels` channels. */
  constructor(normalisation: Normalisation, channels: number) {
    assertNormalisation(normalisation, channels);
    this.#normalisation = normalisation;
    this.#channels = channels;
    this.#adaptive = normalisation.kind === "speaker";
    // One buffer: of each participant's four, the overhead would be a third.
    const statistics = new Float64Array(4 * channels);
    const part = (index: number): Float64Array =>
      statistics.subarray(index * channels, (index + 1) * channels);
    this.#sums = part(0);
    this.#squares = part(1);
    this.#means = part(2);
    this.#scales = part(3);
    this.reset();
  }

  /** Whether observing changes anything. */
  get adaptive(): boolean {
    return this.#adaptive;
  }

  /** Frames that mean and deviation rest on, the prior's included. */
  get frames(): number {
    return this.#frames;
  }

  /** Speech frames observed since the last reset, faded ones too. */
  get heard(): number {
    return this.#heard;
  }

  /** Takes the scale of this moment and keeps to it, whatever is observed, until it is called again or thawed. */
  freeze(): void {
    this.#frozen = true;
    if (this.#heard > 0) this.#refresh();
  }

  /** The scale follows what is observed at once, as it does from the start. */
  thaw(): void {
    this.#frozen = false;
    if (this.#heard > 0) this.#refresh();
  }

  /**
   * Learns from frames [0, count) of raw features[c · stride + t], those with chosen[t] = 1.
   * Each frame is to be shown once.
   */
  observe(features: Float32Array, stride: number, count: number, chosen: Uint8Array): void {
    if (!this.#adaptive) return;
    let frames = 0;
    for (let t = 0; t < count; t++) frames += chosen[t] ?? 0;
    if (frames === 0) return;
    this.#heard += frames;
    const total = this.#frames + frames;
    const keep = Math.min(1, this.#normalisation.maxFrames / total);
    this.#frames = total * keep;
    this.#priorFrames *= keep;
    for (let c = 0; c < this.#channels; c++) {
      let sum = this.#sums[c] ?? 0;
      let square = this.#squares[c] ?? 0;
      const row = c * stride;
      for (let t = 0; t < count; t++) {
        if (chosen[t] !== 1) continue;
        const x = features[row + t] ?? 0;
        sum += x;
        square += x * x;
      }
      this.#sums[c] = sum * keep;
      this.#squares[c] = square * keep;
    }
    if (!this.#frozen) this.#refresh();
  }

  /** Normalises frames [0, count) of features[c · stride + t] in place. */
  apply(features: Float32Array, stride: number, count: number): void {
    for (let c = 0; c < this.#channels; c++) {
      const mean = this.#means[c] ?? 0;
      const scale = this.#scales[c] ?? 1;
      const end = c * stride + count;
      for (let i = c * stride; i < end; i++) features[i] = ((features[i] ?? 0) - mean) * scale;
    }
  }

  /**
   * Takes another model's prior in place of its own, and keeps what it has learnt of the voice: as if the new prior had
   * been there from the start. Both must be of one kind.
   * @throws TonetapError invalid-argument
   */
  rebase(normalisation: Normalisation): void {
    assertNormalisation(normalisation, this.#channels);
    const old = this.#normalisation;
    if (normalisation.kind !== old.kind) {
      throw new TonetapError(
        "invalid-argument",
        `normalisation.kind must stay ${old.kind}, got ${normalisation.kind}`,
      );
    }
    this.#normalisation = normalisation;
    if (!this.#adaptive) {
      this.reset();
      return;
    }
    const start = Math.min(old.priorFrames, old.maxFrames);
    const faded = start === 0 ? 1 : this.#priorFrames / start;
    const frames = Math.min(normalisation.priorFrames, normalisation.maxFrames) * faded;
    for (let c = 0; c < this.#channels; c++) {
      const [mu, sigma] = [normalisation.mean[c] ?? 0, normalisation.std[c] ?? 1];
      const [oldMu, oldSigma] = [old.mean[c] ?? 0, old.std[c] ?? 1];
      const oldSquare = this.#priorFrames * (oldSigma * oldSigma + oldMu * oldMu);
      this.#sums[c] = (this.#sums[c] ?? 0) - this.#priorFrames * oldMu + frames * mu;
      this.#squares[c] = (this.#squares[c] ?? 0) - oldSquare + frames * (sigma * sigma + mu * mu);
    }
    this.#frames += frames - this.#priorFrames;
    this.#priorFrames = frames;
    if (this.#frames > 0) this.#refresh();
    else this.reset();
  }

  /** Another one that knows the voice as well, on another model's scale. */
  fork(normalisation: Normalisation): RunningNormaliser {
    const copy = new RunningNormaliser(this.#normalisation, this.#channels);
    copy.#frames = this.#frames;
    copy.#heard = this.#heard;
    copy.#priorFrames = this.#priorFrames;
    copy.#sums.set(this.#sums);
    copy.#squares.set(this.#squares);
    copy.rebase(normalisation);
    return copy;
  }

  /** Back to the prior: what was learnt of the voice is overwritten. */
  reset(): void {
    const { mean, std, priorFrames, maxFrames } = this.#normalisation;
    this.#frames = this.#adaptive ? Math.min(priorFrames, maxFrames) : 0;
    this.#priorFrames = this.#frames;
    this.#heard = 0;
    for (let c = 0; c < this.#channels; c++) {
      const mu = mean[c] ?? 0;
      const sigma = std[c] ?? 1;
      this.#sums[c] = this.#frames * mu;
      this.#squares[c] = this.#frames * (sigma * sigma + mu * mu);
      this.#means[c] = mu;
      this.#scales[c] = 1 / sigma;
    }
  }

  #refresh(): void {
    const { std } = this.#normalisation;
    for (let c = 0; c < this.#channels; c++) {
      const mean = (this.#sums[c] ?? 0) / this.#frames;
      const variance = (this.#squares[c] ?? 0) / this.#frames - mean * mean;
      const least = LEAST_STD_SHARE * (std[c] ?? 1);
      this.#means[c] = mean;
      this.#scales[c] = 1 / Math.sqrt(Math.max(variance, least * least));
    }
  }
}

function assertNormalisation(normalisation: Normalisation, channels: number): void {
  const { mean, std, priorFrames, maxFrames, kind } = normalisation;
  const fail = (message: string): never => {
    throw new TonetapError("invalid-argument", `normalisation.${message}`);
  };
  if (mean.length !== channels) fail(`mean must have ${channels} values, got ${mean.length}`);
  if (std.length !== channels) fail(`std must have ${channels} values, got ${std.length}`);
  if (!mean.every(Number.isFinite)) fail("mean must be finite");
  if (!std.every((value) => Number.isFinite(value) && value > 0)) fail("std must be above 0");
  if (kind === "speaker" && !(priorFrames >= 0 && maxFrames >= 1)) {
    fail(`priorFrames must be at least 0 and maxFrames at least 1, got ${priorFrames} and ${maxFrames}`);
  }
}
