/** The public door of `tonetap`. Platforms have doors of their own: tonetap/werift, tonetap/mediasoup, tonetap/sip; subscribers use tonetap/client. */

export { type AnalysisItem, analyzeFiles, type FileSummary } from "./analyze.ts";
export { type Config, type ConfigInput, configSchema, describeOptions, parseConfig } from "./config.ts";
export type { AudioSource, ConsentState, ParticipantInfo, ParticipantRole } from "./core/audio-source.ts";
export { type Clock, systemClock } from "./core/clock.ts";
export { type ErrorCode, TonetapError } from "./core/errors.ts";
export {
  DEFAULT_FEATURE_SPEC,
  type FeatureSpec,
  featureChannels,
  featureNames,
} from "./core/feature-spec.ts";
export type { FrameUnit, MediaUnit, PcmUnit } from "./core/media.ts";
export { MediaClock } from "./core/media-clock.ts";
export type { ModelManifest } from "./core/model.ts";
export * from "./core/rtp.ts";
export type {
  EmotionEstimate,
  EmotionResult,
  EmotionUnit,
  EstimateUnit,
  FeatureWindow,
  GatedWindow,
  SpeechEdge,
  WindowBatcher,
  WindowInfo,
  WindowUnit,
} from "./core/window.ts";
export { type ChainParts, type ChainRun, emotionChain } from "./emotion-chain.ts";
export { createEngine, type Engine, type EngineOptions } from "./engine.ts";
export type {
  AlertRule,
  AlertRuleInput,
  EventData,
  EventFilter,
  EventKind,
  EventOf,
  TonetapEvent,
  WebhookHeaders,
} from "./events/index.ts";
export { verifyWebhook } from "./events/index.ts";
export {
  type BackendDescription,
  type BatcherStats,
  DynamicBatcher,
  findModel,
  inferEmotion,
  loadModelPackage,
  OnnxBackend,
  smoothEmotion,
} from "./inference/index.ts";
export type { MediaHost, RtpDoor, RtpDoorOptions, ShardStatus } from "./media-host.ts";
export type { NoticeAnswer, NoticeHook, NoticeProof, NoticeRequest } from "./notice/index.ts";
export type { Participant } from "./participant.ts";
export { Service } from "./service.ts";
export { createOpusDecoder, decodeAudio, featureFrames, slidingWindows } from "./stream/index.ts";
export {
  createRtpSender,
  createUdpRtpServer,
  createUdpRtpSource,
  DEFAULT_UDP_CODECS,
  type JitterBufferOptions,
  jitterBuffer,
  parseInlineKey,
  parseRtp,
  type RtpSenderOptions,
  SRTP_SUITES,
  type SrtpKeys,
  type SrtpSuite,
  type UdpRtpServerOptions,
  type UdpRtpSource,
  type UdpRtpSourceOptions,
} from "./transport/index.ts";
