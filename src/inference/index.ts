/** What the inference folder offers to those who compose it. */
export * from "./backend.ts";
export {
  type BatchGoal,
  type BatchPlan,
  type BatchPoint,
  measureBatchCurve,
  measuredSizes,
  planBatches,
} from "./batch-plan.ts";
export { DynamicBatcher } from "./batcher.ts";
export type { BatcherOptions } from "./batcher-options.ts";
export type { BatcherStats, LatencyStats } from "./batcher-stats.ts";
export { type InferEmotionOptions, inferEmotion } from "./infer-emotion.ts";
export { KserveBackend, type KserveBackendOptions } from "./kserve/kserve-backend.ts";
export { type ModelChange, ModelHost, type ModelMode, type ModelStatus } from "./model-host.ts";
export {
  bundledModels,
  defaultModelDir,
  findModel,
  loadModelPackage,
  type ModelPackage,
  modelManifestSchema,
  parseManifest,
} from "./model-package.ts";
export { ModelRuntime, type ModelRuntimeOptions } from "./model-runtime.ts";
export { OnnxBackend, type OnnxBackendOptions } from "./onnx-backend.ts";
export type { ShadowFigures } from "./shadow-comparison.ts";
export { EmotionSmoother, type SmoothingOptions, smoothEmotion } from "./smooth-emotion.ts";
export { softmax } from "./softmax.ts";
export { StreamMemory, type StreamPart, type StreamShape } from "./stream-memory.ts";
export { onnxToTfjs } from "./tfjs/onnx-to-tfjs.ts";
export { TfjsBackend, type TfjsBackendOptions } from "./tfjs-backend.ts";
export { type ModelShape, modelShape, WindowMemory, type WindowMemoryView } from "./window-memory.ts";
