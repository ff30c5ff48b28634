/**
 * The public door of transport/: RTP itself, the jitter buffer, and sources on plain UDP.
 * Platforms with a package of their own have doors of their own: werift/, mediasoup/, sip/; recordings are file/.
 */
export { JitterBuffer, type JitterBufferOptions } from "./jitter-buffer.ts";
export { jitterBuffer } from "./jitter-buffer-operator.ts";
export { createJitterStats, type JitterStats } from "./jitter-stats.ts";
export { LineSignals } from "./line-signals.ts";
export { payloadTicks } from "./packet-duration.ts";
export { type RedCopy, type RedPayload, splitRed } from "./red.ts";
export {
  isRtcp,
  ntpToWallMs,
  parseRtcp,
  type RtcpReport,
  type SenderReportFields,
  serializeBye,
  serializeCname,
  serializeNack,
  serializeReceiverReport,
  serializeSenderReport,
  wallMsToNtp,
} from "./rtcp.ts";
export type { RtpFlow, RtpFlowEnd } from "./rtp-flow.ts";
export {
  audioLevelExtension,
  parseRtp,
  RTP_MALFORMED,
  type RtpFields,
  type RtpHeaderExtension,
  type RtpMalformed,
  type RtpParseOptions,
  serializeRtp,
} from "./rtp-packet.ts";
export { createRtpSender, RtpSender, type RtpSenderOptions } from "./rtp-sender.ts";
export { type RtpFrame, RtpStream, type RtpStreamOptions } from "./rtp-stream.ts";
export { codecOfRtpmap } from "./rtpmap.ts";
export { extendSequence, extendTimestamp } from "./sequence.ts";
export {
  chooseSdes,
  createSdes,
  createSrtpSession,
  formatSdes,
  parseInlineKey,
  parseSdes,
  type SdesCrypto,
  SRTP_SUITES,
  type SrtpKeys,
  type SrtpMasterKey,
  SrtpReceiver,
  type SrtpRejection,
  SrtpSender,
  type SrtpSession,
  type SrtpSuite,
} from "./srtp/index.ts";
export { TelephoneEvents } from "./telephone-event.ts";
export type { UdpAddress, UdpRtpStats } from "./udp-rtp-port.ts";
export {
  createUdpRtpServer,
  type UdpRtpArrival,
  UdpRtpServer,
  type UdpRtpServerOptions,
} from "./udp-rtp-server.ts";
export {
  createUdpRtpSource,
  DEFAULT_UDP_CODECS,
  UdpRtpSource,
  type UdpRtpSourceOptions,
} from "./udp-rtp-source.ts";
