/** One recording → what the product's extractor says of it. Reading files is transport/file. */
import { type FeatureSpec, featureChannels } from "../src/core/feature-spec.ts";
import { createFeatureExtractor } from "../src/stream/features/index.ts";
import { VoiceActivityDetector } from "../src/stream/voice-activity.ts";

/** All frames of a recording. */
export interface ClipFeatures {
  /** C. */
  readonly channels: number;
  readonly frames: number;
  /** Raw, not normalised, frame-major: values[t · C + c]. */
  readonly values: Float32Array;
  /** 1 where the product's voice-activity gate, at its defaults, hears speech. */
  readonly speech: Uint8Array;
}

/** Frames computed before they are copied out; below the extractor's limit. */
const BLOCK_FRAMES = 1024;

/**
 * Features of every frame that the recording completes. As on a call that ends there, the last frames, whose
 * derivatives would need audio that never came (deltaLookahead: 40 ms by default), are left out; nothing is padded.
 *
 * @param samples mono, 16 kHz.
 */
export function clipFeatures(samples: Float32Array, spec: FeatureSpec): ClipFeatures {
  const channels = featureChannels(spec);
  // Held frames would be missing at the end.
  const extractor = createFeatureExtractor(spec, { capacityFrames: 2 * BLOCK_FRAMES, maxHoldFrames: 0 });
  const most = Math.max(0, Math.ceil(samples.length / spec.hopLength));
  const values = new Float32Array(most * channels);
  const speech = new Uint8Array(most);
  const detector = new VoiceActivityDetector((1000 * spec.hopLength) / spec.sampleRateHz);
  const block = new Float32Array(channels * BLOCK_FRAMES);
  const blockSamples = BLOCK_FRAMES * spec.hopLength;
  let frames = 0;
  for (let at = 0; at < samples.length; at += blockSamples) {
    const completed = extractor.push(samples.subarray(at, at + blockSamples));
    while (frames < completed) {
      const count = Math.min(BLOCK_FRAMES, completed - frames);
      extractor.copy(frames, count, block, BLOCK_FRAMES);
      for (let t = 0; t < count; t++) {
        for (let c = 0; c < channels; c++) {
          values[(frames + t) * channels + c] = block[c * BLOCK_FRAMES + t] ?? 0;
        }
        const levelDb = extractor.speechDb(frames + t);
        const spoken = detector.push({ levelDb, quiet: false, heard: true });
        speech.fill(1, frames + t + 1 - spoken, frames + t + 1);
      }
      frames += count;
    }
  }
  extractor.close();
  return {
    channels,
    frames,
    values: values.subarray(0, frames * channels),
    speech: speech.subarray(0, frames),
  };
}

/**
 * The recording without the digital silence at its end, which emodb_first2s fills short clips up with. The threshold
 * is 2⁻¹², because the Opus in which it is stored turns zeros into a little noise.
 */
export function trimTrailingZeros(samples: Float32Array): Float32Array {
  let end = samples.length;
  while (end > 0 && Math.abs(samples[end - 1] ?? 0) < 2 ** -12) end--;
  return samples.subarray(0, end);
}
