/** The door of `tonetap/conformance`: does an AudioSource keep its contract? Works with any test runner. */
export {
  type ConformanceCheck,
  type ConformanceOptions,
  type ConformanceReport,
  checkAudioSource,
  type SourceUnderTest,
} from "./check-audio-source.ts";
