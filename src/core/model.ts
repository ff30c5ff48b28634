/** What a model package says of itself (`model.json`). Reading and checking it is inference/model-package.ts. */
import type { FeatureSpec } from "./feature-spec.ts";

/** How raw features are brought to the model's scale. */
export interface Normalisation {
  /**
   * `global`: (x − mean) / std.
   * `speaker`: mean and std adapt to the voice: the prior counts as `priorFrames` frames of speech, the
   * participant's own speech frames are added to it, as if the prior were frames seen before.
   */
  readonly kind: "global" | "speaker";
  /** One a channel. */
  readonly mean: readonly number[];
  /** One a channel, above 0. */
  readonly std: readonly number[];
  /** Frames. Weight of the prior; `speaker` only. */
  readonly priorFrames: number;
  /** Frames. Past this many the oldest evidence fades, so that a changed microphone is followed; `speaker` only. */
  readonly maxFrames: number;
}

export interface LabelAffect {
  /** −1 … 1 */
  readonly valence: number;
  /** −1 … 1 */
  readonly arousal: number;
}

/**
 * The same network in two parts, for windows that follow one another.
 * - `files.encoder`, causal, sees every frame once: features float32 [N, C, 1, F] (F any multiple of `strideFrames`) and
 *   state float32 [N, S] → embeddings float32 [N, F / strideFrames, E] and next_state [N, S]. A state of zeros is the
 *   start of a talk-spurt.
 * - `files.head`, once a window: embeddings float32 [N, steps, E] and mask [N, steps], valid steps first → logits
 *   float32 [N, labels].
 */
export interface StreamingSpec {
  /** Frames of one step. */
  readonly strideFrames: number;
  /** S: floats that the encoder carries from chunk to chunk. */
  readonly stateSize: number;
  /** E: floats of one step's embedding. */
  readonly embeddingChannels: number;
  /** Steps of a full window: window.frames / strideFrames. */
  readonly steps: number;
}

export interface ModelManifest {
  readonly format: "tonetap-model/1";
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  /** SPDX id or `LicenseRef-…` of the weights. */
  readonly licence: string;
  /** File names inside the package. */
  readonly files: {
    readonly onnx: string;
    /** See {@link StreamingSpec}. */
    readonly encoder?: string | undefined;
    readonly head?: string | undefined;
  };
  readonly features: FeatureSpec;
  readonly window: {
    /** T: frames of the model's input. */
    readonly frames: number;
    /** Fewest valid frames it was trained to judge. */
    readonly minFrames: number;
  };
  readonly normalisation: Normalisation;
  /** Tensor names. features: float32 [N, C, 1, T]; mask: float32 [N, 1, 1, T], 1 where a frame is valid; logits: float32 [N, labels]. */
  readonly tensors: { readonly features: string; readonly mask: string; readonly logits: string };
  /** For models that can also judge a window by its new frames alone; equal to the whole file's answer. */
  readonly streaming?: StreamingSpec | undefined;
  readonly labels: readonly string[];
  /** Logits are divided by it before softmax. */
  readonly temperature: number;
  /** Below this top probability the result abstains. */
  readonly abstainBelow: number;
  /** Valence and arousal of each label; a result's are their mean weighted by the scores. */
  readonly affect: Readonly<Record<string, LabelAffect>>;
  /** Corpora it was trained on. */
  readonly corpora: readonly string[];
  /** Measured figures, free-form: printed by `tonetap model`, shown on the model page. */
  readonly metrics: Readonly<Record<string, unknown>>;
}

/** `name@version`, as events carry it. */
export const modelId = (manifest: Pick<ModelManifest, "name" | "version">): string =>
  `${manifest.name}@${manifest.version}`;
