/**
 * `tonetap/mediasoup`: the audio producers of a mediasoup router as participants. The program brings the router:
 * mediasoup is an optional peer dependency.
 */
export {
  type AttachTarget,
  attachProducer,
  sourceFromProducer,
} from "./attach-producer.ts";
export { attachRouter, type RouterTap, type RouterTapOptions } from "./attach-router.ts";
export { type ForwardedProducer, type ForwardOptions, forwardProducer } from "./forward-producer.ts";
export type {
  MediasoupConsumer,
  MediasoupConsumingTransport,
  MediasoupPlainTransport,
  MediasoupProducer,
  MediasoupRouter,
  MediasoupRtpCapabilities,
  MediasoupRtpParameters,
  MediasoupTrace,
  MediasoupTraceType,
  MediasoupTransport,
} from "./mediasoup-types.ts";
export type { ProducerSourceOptions } from "./producer-source.ts";
