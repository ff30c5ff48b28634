/** What the rest of the system knows of RTP: packets, codecs and sender reports. Parsing is transport/rtp-packet.ts. */
import type { MonotonicMs, WallMs } from "./units.ts";

/** RFC 6464 client-to-mixer audio level. */
export interface AudioLevel {
  /** The sender's own voice-activity decision (the V bit). */
  readonly voice: boolean;
  /** Level, −dBov: 0 is full scale, 127 is digital silence. */
  readonly level: number;
}

/** One received RTP packet, after SRTP. */
export interface RtpPacket {
  /** 16 bits, as on the wire. */
  readonly sequence: number;
  /** 32 bits unsigned, as on the wire; ticks of the codec's clock. */
  readonly timestamp: number;
  /** 32 bits unsigned. */
  readonly ssrc: number;
  /** 0–127; what it means stands in {@link AudioSource.codecs}. */
  readonly payloadType: number;
  readonly marker: boolean;
  /** Padding removed; may be empty. Owned by the receiver: the source does not write to it again. */
  readonly payload: Uint8Array;
  /** When it reached this process. */
  readonly arrivalMs: MonotonicMs;
  readonly audioLevel?: AudioLevel;
}

export type AudioMimeType =
  | "audio/opus"
  | "audio/PCMU"
  | "audio/PCMA"
  | "audio/L16"
  | "audio/red"
  | "audio/CN"
  | "audio/telephone-event";

/** What one payload type carries, as negotiated in SDP or agreed otherwise. */
export interface AudioCodec {
  readonly mimeType: AudioMimeType;
  /** RTP clock, Hz. RFC 7587 §4.1: 48,000 for Opus, whatever the audio's rate. */
  readonly clockRateHz: number;
  /** As in SDP; Opus always says 2 (RFC 7587 §7). */
  readonly channels: number;
}

/** Payload type → codec. */
export type CodecMap = ReadonlyMap<number, AudioCodec>;

export const OPUS: AudioCodec = { mimeType: "audio/opus", clockRateHz: 48_000, channels: 2 };
export const PCMU: AudioCodec = { mimeType: "audio/PCMU", clockRateHz: 8_000, channels: 1 };
export const PCMA: AudioCodec = { mimeType: "audio/PCMA", clockRateHz: 8_000, channels: 1 };
/** RFC 3551 §4.5.11: 16-bit samples in network byte order; the clock runs at the audio's rate. 8,000–192,000 Hz. */
export const l16 = (rateHz: number, channels = 1): AudioCodec => ({
  mimeType: "audio/L16",
  clockRateHz: rateHz,
  channels,
});
export const RED_OPUS: AudioCodec = { mimeType: "audio/red", clockRateHz: 48_000, channels: 2 };
export const COMFORT_NOISE: AudioCodec = { mimeType: "audio/CN", clockRateHz: 8_000, channels: 1 };
export const TELEPHONE_EVENT: AudioCodec = {
  mimeType: "audio/telephone-event",
  clockRateHz: 8_000,
  channels: 1,
};

/** RFC 3551 §6: payload types that need no negotiation. */
export const STATIC_CODECS: CodecMap = new Map([
  [0, PCMU],
  [8, PCMA],
  [13, COMFORT_NOISE],
]);

/** An RTCP sender report: which RTP timestamp was which time of day. RFC 3550 §6.4.1. */
export interface SenderReport {
  readonly ssrc: number;
  /** The sender's NTP time, as ms since 1970. */
  readonly ntpWallMs: WallMs;
  /** 32 bits unsigned, same clock as the packets. */
  readonly rtpTimestamp: number;
  readonly arrivalMs: MonotonicMs;
}
