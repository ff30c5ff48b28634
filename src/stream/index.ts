/** What stream offers: one participant's chain from packets in playout order to windows for the model. */
export { type DecodeAudioOptions, decodeAudio } from "./decode-audio.ts";
export { createDecodeStats, type DecodeStats } from "./decode-stats.ts";
export { type FeatureFramesOptions, featureFrames } from "./feature-frames.ts";
export { RunningNormaliser } from "./normaliser.ts";
export { createOpusDecoder, type OpusDecoder } from "./opus-decoder.ts";
export { scratchLender, type WindowLender } from "./scratch.ts";
export { type SlidingWindowsOptions, slidingWindows } from "./sliding-windows.ts";
export { VoiceActivityDetector, type VoiceActivityOptions } from "./voice-activity.ts";
