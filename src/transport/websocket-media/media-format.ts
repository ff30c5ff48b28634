/** What vendors call their encodings, and payloads of them as RTP would carry them. */
import { TonetapError } from "../../core/errors.ts";
import { type AudioCodec, l16, OPUS, PCMA, PCMU } from "../../core/rtp.ts";
import { slinToL16 } from "../message-source.ts";
import { payloadTicks } from "../packet-duration.ts";

/** ms of one message's audio at most; what the decoders take in one piece. */
const MAX_MESSAGE_MS = 200;
/** RFC 4648 §4. Buffer.from() skips what is not base64: half a payload would be noise. */
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export interface MediaFormat {
  readonly payloadType: number;
  readonly codec: AudioCodec;
  /** Samples come little-endian. */
  readonly isSlin: boolean;
}

/**
 * @param encoding `audio/x-mulaw` (Twilio, SignalWire), `PCMU`, `PCMA`, `L16`, `OPUS` (Telnyx), `opus` (Jitsi)
 * @throws TonetapError media for any other, naming those that are taken
 */
export function mediaFormat(encoding: string, rateHz: number): MediaFormat {
  const name = encoding.toLowerCase().replace(/^audio\/(x-)?/, "");
  if (name === "opus") return { payloadType: 111, codec: OPUS, isSlin: false };
  if (rateHz === 8_000 && (name === "mulaw" || name === "pcmu")) {
    return { payloadType: 0, codec: PCMU, isSlin: false };
  }
  if (rateHz === 8_000 && (name === "alaw" || name === "pcma")) {
    return { payloadType: 8, codec: PCMA, isSlin: false };
  }
  if ((name === "l16" || name === "linear16" || name === "slin") && rateHz >= 8_000 && rateHz <= 48_000) {
    return { payloadType: 96, codec: l16(rateHz), isSlin: true };
  }
  throw new TonetapError(
    "media",
    `the media format must be mulaw or alaw at 8000 Hz, L16 at 8000–48000 Hz or Opus, got ${encoding.slice(0, 40)} at ${rateHz} Hz`,
  );
}

/**
 * A payload and its length in ticks.
 * @throws TonetapError protocol for text that is not base64, or no whole payload of 1 sample to 200 ms
 */
export function readPayload(
  base64: string,
  { codec, isSlin }: MediaFormat,
): { readonly payload: Uint8Array; readonly durationTicks: number } {
  if (!BASE64.test(base64)) throw new TonetapError("protocol", "a media payload is not base64");
  const bytes = Buffer.from(base64, "base64");
  const durationTicks = payloadTicks(codec, bytes) ?? 0;
  const durationMs = (durationTicks * 1000) / codec.clockRateHz;
  if (durationTicks === 0 || durationMs > MAX_MESSAGE_MS || (isSlin && bytes.length % 2 !== 0)) {
    throw new TonetapError(
      "protocol",
      `a media payload must be of 1 sample to ${MAX_MESSAGE_MS} ms, got ${bytes.length} bytes, ${Math.round(durationMs)} ms`,
    );
  }
  return { payload: isSlin ? slinToL16(bytes) : bytes, durationTicks };
}
