/** SRTP and SRTCP of our own (RFC 3711, RFC 7714), and their keys in SDP (RFC 4568). Nothing here knows of sockets. */
export { DEFAULT_REPLAY_PACKETS, ReplayWindow } from "./replay-window.ts";
export { chooseSdes, createSdes, formatSdes, parseInlineKey, parseSdes, type SdesCrypto } from "./sdes.ts";
export {
  SrtpReceiver,
  type SrtpReceiverOptions,
  type SrtpRejection,
  type SrtpStats,
} from "./srtp-receiver.ts";
export { SrtpSender } from "./srtp-sender.ts";
export { createSrtpSession, type SrtpKeys, type SrtpSession } from "./srtp-session.ts";
export {
  isSrtpSuite,
  SRTP_SUITES,
  type SrtpMasterKey,
  type SrtpSuite,
  type SrtpSuiteInfo,
  srtpSuiteInfo,
  suiteOfDtlsProfile,
} from "./srtp-suite.ts";
