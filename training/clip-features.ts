/** One recording → what the product's extractor says of it. Reading files is audio-file.ts. */
import { type FeatureSpec, featureChannels } from "../src/core/feature-spec.ts";
import { createFeatureExtractor } from "../src/stream/features/index.ts";

/** All frames of a recording. */
export interface ClipFeatures {
  /** C. */
  readonly channels: number;
  readonly frames: number;
  /** Raw, not normalised, frame-major: values[t · C + c]. */
  readonly values: Float32Array;
  /** 1 where the frame is speech. */
  readonly speech: Uint8Array;
}

/** Frames computed before they are copied out; below the extractor's limit. */
const BLOCK_FRAMES = 1024;
/** dB below the loud frames at which a frame still counts as speech, and the level under which none does. */
const SPEECH_RANGE_DB = 30;
const SPEECH_FLOOR_DB = -60;
/** Share of frames that are quieter than "the loud frames". */
const LOUD_QUANTILE = 0.95;

/**
 * Features of every frame that the recording completes. As on a call that ends there, the last frames, whose
 * derivatives would need audio that never came (deltaLookahead: 40 ms by default), are left out; nothing is padded.
 *
 * @param samples mono, 16 kHz.
 */
export function clipFeatures(samples: Float32Array, spec: FeatureSpec): ClipFeatures {
  const channels = featureChannels(spec);
  const extractor = createFeatureExtractor(spec, { capacityFrames: 2 * BLOCK_FRAMES });
  const most = Math.max(0, Math.ceil(samples.length / spec.hopLength));
  const values = new Float32Array(most * channels);
  const energy = new Float32Array(most);
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
        energy[frames + t] = extractor.energyDb(frames + t);
      }
      frames += count;
    }
  }
  extractor.close();
  return {
    channels,
    frames,
    values: values.subarray(0, frames * channels),
    speech: speechFrames(energy.subarray(0, frames)),
  };
}

/**
 * Which frames are speech, by energy against the recording's own loud frames. For recordings that are known as a
 * whole; a live call's voice-activity gate is stream/.
 */
function speechFrames(energyDb: Float32Array): Uint8Array {
  const sorted = Float32Array.from(energyDb).sort();
  const loud = sorted[Math.floor(LOUD_QUANTILE * (sorted.length - 1))] ?? SPEECH_FLOOR_DB;
  const threshold = Math.max(SPEECH_FLOOR_DB, loud - SPEECH_RANGE_DB);
  return Uint8Array.from(energyDb, (level) => (level > threshold ? 1 : 0));
}
