/** Options of the doors that take audio in messages: WebSocket media and AudioSocket. What they do is media-door.ts. */
import { z } from "zod";
import { list, number, secret, section, text, whole } from "./config-fields.ts";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "./core/audio-source.ts";

/** Twilio Media Streams and its dialects, Genesys AudioHook, Jitsi's audio export. */
export const mediaSection = section("Media WebSockets: Twilio, Genesys, Jitsi", {
  maxConnections: whole(1, 10_000, 200, "Media WebSockets at once; one more gets 503."),
  maxMessageBytes: whole(
    1_024,
    1_048_576,
    65_536,
    "Bytes of one message from a media peer; a longer one closes the connection.",
  ),
  maxMessagesPerSecond: whole(
    10,
    100_000,
    1_000,
    "Messages a second from a media peer, ten times as many at once; who sends more is closed.",
  ),
  inactivityMs: number(
    1_000,
    600_000,
    30_000,
    "ms without a sign of life after which a media peer has left.",
  ),
  tokens: secret(list("Tokens that may send media over WebSocket; none: everyone may. Secrets.")),
  audiohookKeys: secret(
    list(
      "API keys and client secrets (base64) of AudioHook, key:secret; then its requests must be signed. Secrets.",
    ),
  ),
});

/** Asterisk. */
export const audioSocketSection = section("Asterisk's AudioSocket", {
  listen: z
    .enum(["off", "tcp"])
    .default("off")
    .describe("Whether Asterisk's AudioSocket is listened for, which has no login: keep it inside."),
  host: text("127.0.0.1", "Address that AudioSocket is listened for on."),
  port: whole(0, 65_535, 9_092, "TCP port of AudioSocket; 0 takes a free one."),
  maxCalls: whole(1, 10_000, 500, "AudioSocket calls at once; one more is closed."),
  inactivityMs: number(
    1_000,
    600_000,
    30_000,
    "ms without a frame after which an AudioSocket call has left.",
  ),
  unannounced: z
    .enum(["attach", "refuse"])
    .default("attach")
    .describe("What becomes of a UUID that POST /v1/audiosocket did not announce."),
  defaultRole: z.enum(PARTICIPANT_ROLES).default("guest").describe("Role of the caller behind such a UUID."),
  defaultConsent: z
    .enum(CONSENT_STATES)
    .default("pending")
    .describe("Consent of such a caller; nothing is analysed while pending."),
});
