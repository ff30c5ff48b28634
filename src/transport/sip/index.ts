/** `tonetap/sip`: call legs of a PBX, SBC or dialer as audio sources. */
export type { DigestAlgorithm } from "./digest.ts";
export type { DigestOptions } from "./digest-guard.ts";
export type { ParticipantDefaults } from "./participant-headers.ts";
export type { RegistrationOptions, RegistrationStatus } from "./registration-options.ts";
export type { SrtpPolicy } from "./sdp.ts";
export type { SipAddress, SipCallInfo } from "./sip-call-info.ts";
export type {
  MediaPeer,
  OpenSipReception,
  SipAgreement,
  SipReception,
  SipReceptionOptions,
  SipVoice,
} from "./sip-reception.ts";
export { createSipServer, type SipServer, type SipServerStats } from "./sip-server.ts";
export type { SipServerOptions } from "./sip-server-options.ts";
export type { TlsIdentity } from "./sip-streams.ts";
export type { SipOrigin, SipTransportName, SipTransportStats } from "./sip-transport.ts";
export { type RecordedPerson, TONETAP_NAMESPACE } from "./siprec/recording-metadata.ts";
export type { RecordedVoice } from "./siprec/voices.ts";
