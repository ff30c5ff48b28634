/** Windows, estimates and a small manifest for the inference tests. */
import { fileURLToPath } from "node:url";
import { DEFAULT_FEATURE_SPEC } from "../../src/core/feature-spec.ts";
import type { ModelManifest } from "../../src/core/model.ts";
import { monotonicMs, sampleIndex, wallMs } from "../../src/core/units.ts";
import type {
  EmotionEstimate,
  FeatureWindow,
  GatedWindow,
  SpeechEdge,
  WindowInfo,
} from "../../src/core/window.ts";
import { type ModelPackage, modelShape } from "../../src/inference/index.ts";

/** A package with the real interface (C = 85, T = 300, 7 labels) and drawn weights. */
export const TINY_MODEL_DIR = fileURLToPath(new URL("../fixtures/tiny-model/", import.meta.url));

/** C = 13, T = 4, 3 labels: for what never reaches ONNX Runtime. */
export const SMALL_MANIFEST: ModelManifest = {
  format: "tonetap-model/1",
  name: "small",
  version: "1.0.0",
  description: "",
  licence: "Apache-2.0",
  files: { onnx: "model.onnx" },
  features: {
    ...DEFAULT_FEATURE_SPEC,
    mfcc: 13,
    delta: false,
    delta2: false,
    chroma: 0,
    logEnergy: false,
  },
  window: { frames: 4, minFrames: 1 },
  normalisation: {
    kind: "global",
    mean: new Array<number>(13).fill(0),
    std: new Array<number>(13).fill(1),
    priorFrames: 0,
    maxFrames: 0,
  },
  tensors: { features: "features", mask: "mask", logits: "logits" },
  labels: ["calm", "glad", "cross"],
  temperature: 2,
  abstainBelow: 0.4,
  affect: {
    calm: { valence: 0, arousal: -0.5 },
    glad: { valence: 0.8, arousal: 0.5 },
    cross: { valence: -0.6, arousal: 1 },
  },
  corpora: [],
  metrics: {},
};

export const SMALL_MODEL: ModelPackage = {
  manifest: SMALL_MANIFEST,
  onnxPath: "/nowhere/model.onnx",
  id: "small@1.0.0",
};

/** 3 s windows every 500 ms. */
export function windowInfoAt(index: number): WindowInfo {
  const endMs = 3_000 + 500 * index;
  return {
    index,
    start: sampleIndex(16 * (endMs - 3_000)),
    end: sampleIndex(16 * endMs),
    mediaStartMs: endMs - 3_000,
    mediaEndMs: endMs,
    wallStartMs: wallMs(1_000_000 + endMs - 3_000),
    wallEndMs: wallMs(1_000_000 + endMs),
    wallSource: "ntp",
    speechShare: 0.75,
    lossShare: 0.125,
    arrivalMs: monotonicMs(endMs + 20),
  };
}

/** A window whose feature c is `value(c)` in its valid frames and 0 behind them. */
export function windowAt(
  index: number,
  value: (channel: number) => number = () => 0,
  manifest: ModelManifest = SMALL_MANIFEST,
  frames = manifest.window.frames,
): FeatureWindow {
  const shape = modelShape(manifest);
  const features = new Float32Array(shape.channels * shape.frames);
  for (let c = 0; c < shape.channels; c++) {
    features.fill(value(c), c * shape.frames, c * shape.frames + frames);
  }
  return { ...windowInfoAt(index), kind: "window", features, frames };
}

export const gatedAt = (index: number): GatedWindow => ({
  ...windowInfoAt(index),
  kind: "gated",
  reason: "silence",
});

export function speechAt(mediaMs: number, state: SpeechEdge["state"]): SpeechEdge {
  return {
    kind: "speech",
    state,
    at: sampleIndex(16 * mediaMs),
    mediaMs,
    wallMs: wallMs(1_000_000 + mediaMs),
    wallSource: "ntp",
    durationMs: state === "started" ? 0 : 800,
    arrivalMs: monotonicMs(mediaMs + 20),
  };
}

export function estimateAt(index: number, probabilities: readonly number[]): EmotionEstimate {
  return {
    ...windowInfoAt(index),
    kind: "estimate",
    probabilities: Float32Array.from(probabilities),
    frames: 300,
    model: "small@1.0.0",
    batchSize: 8,
    queuedMs: 4,
    inferenceMs: 2,
  };
}

/** Lets every promise that can settle now settle. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
