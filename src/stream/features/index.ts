/** Chooses the feature extractor that a spec and its user ask for. */
import { assertRange, TonetapError } from "../../core/errors.ts";
import { assertFeatureSpec, type FeatureSpec } from "../../core/feature-spec.ts";
import type { FeatureExtractor, FeatureExtractorOptions } from "./extractor.ts";
import { textbookAnalyser } from "./frame-analyser.ts";
import { FrameExtractor } from "./frame-extractor.ts";
import { kernelFor } from "./kernel.ts";
import { KernelExtractor } from "./kernel-extractor.ts";
import { meydaFrameAnalyser } from "./meyda-extractor.ts";

export type { FeatureExtractor, FeatureExtractorOptions } from "./extractor.ts";

/** Readable frames by default: a window of 3 s and 200 ms of slack, at 10 ms a hop. */
const DEFAULT_CAPACITY_FRAMES = 320;

/**
 * Makes an extractor for one participant.
 * @throws TonetapError invalid-argument when the spec or an option is out of range.
 */
export function createFeatureExtractor(
  spec: FeatureSpec,
  options: FeatureExtractorOptions = {},
): FeatureExtractor {
  assertFeatureSpec(spec);
  const capacity = options.capacityFrames ?? DEFAULT_CAPACITY_FRAMES;
  const maxHoldFrames = options.maxHoldFrames ?? 3;
  assertRange("capacityFrames", capacity, 16, 65_536);
  assertRange("maxHoldFrames", maxHoldFrames, 0, 3);
  if (!Number.isInteger(capacity) || !Number.isInteger(maxHoldFrames)) {
    throw new TonetapError("invalid-argument", "capacityFrames and maxHoldFrames must be whole numbers");
  }
  if (spec.extractor === "meyda") return new FrameExtractor(spec, capacity, meydaFrameAnalyser(spec));
  if (options.implementation === "reference")
    return new FrameExtractor(spec, capacity, textbookAnalyser(spec));
  return new KernelExtractor(kernelFor(spec, capacity), spec, capacity, maxHoldFrames);
}
