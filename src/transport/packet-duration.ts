/** How much media time a payload holds. Every codec we take says so itself, so nothing has to be learnt from timestamps. */
import { opusPacketSamples } from "../core/opus-packet.ts";
import type { AudioCodec } from "../core/rtp.ts";
import { PIPELINE_RATE_HZ } from "../core/units.ts";

/**
 * Media time of one payload, in ticks of the codec's RTP clock.
 * @returns undefined when the payload does not say: it is empty, damaged, or carries no audio.
 */
export function payloadTicks(codec: AudioCodec, payload: Uint8Array): number | undefined {
  switch (codec.mimeType) {
    case "audio/opus": {
      const samples = opusPacketSamples(payload);
      return samples === 0 ? undefined : (samples * codec.clockRateHz) / PIPELINE_RATE_HZ;
    }
    case "audio/PCMU":
    case "audio/PCMA": {
      // RFC 3551 §4.5.14: one octet a sample and channel.
      const ticks = Math.floor(payload.length / codec.channels);
      return ticks > 0 ? ticks : undefined;
    }
    case "audio/L16": {
      // RFC 3551 §4.5.11: two octets a sample and channel.
      const ticks = Math.floor(payload.length / (2 * codec.channels));
      return ticks > 0 ? ticks : undefined;
    }
    case "audio/red":
    case "audio/CN":
    case "audio/telephone-event":
      return undefined;
    default:
      codec.mimeType satisfies never;
      return undefined;
  }
}
