/** Codecs by their names in SDP's `a=rtpmap` (RFC 8866 §6.6), for peers that have no SDP. */
import { TonetapError } from "../core/errors.ts";
import {
  type AudioCodec,
  COMFORT_NOISE,
  l16,
  OPUS,
  PCMA,
  PCMU,
  RED_OPUS,
  TELEPHONE_EVENT,
} from "../core/rtp.ts";

/** Names that stand for one codec, whatever is left out of them. */
const FIXED: ReadonlyMap<string, AudioCodec> = new Map([
  ["opus", OPUS],
  ["opus/48000", OPUS],
  ["opus/48000/2", OPUS],
  ["pcmu", PCMU],
  ["pcmu/8000", PCMU],
  ["pcmu/8000/1", PCMU],
  ["pcma", PCMA],
  ["pcma/8000", PCMA],
  ["pcma/8000/1", PCMA],
  ["red/48000/2", RED_OPUS],
  ["cn/8000", COMFORT_NOISE],
  ["telephone-event/8000", TELEPHONE_EVENT],
]);

/**
 * `opus/48000/2`, `PCMU`, `PCMA/8000`, `L16/16000`, `L16/44100/2`, …; case does not matter.
 * @throws TonetapError invalid-argument for any other
 */
export function codecOfRtpmap(name: string): AudioCodec {
  const fixed = FIXED.get(name.toLowerCase());
  if (fixed !== undefined) return fixed;
  const linear = /^l16\/(\d{4,6})(?:\/([1-8]))?$/i.exec(name);
  const rateHz = Number(linear?.[1]);
  if (rateHz >= 8_000 && rateHz <= 192_000) return l16(rateHz, Number(linear?.[2] ?? 1));
  throw new TonetapError(
    "invalid-argument",
    `a codec is opus/48000/2, PCMU/8000, PCMA/8000, L16/8000–192000 or, beside one of them, red/48000/2, CN/8000, telephone-event/8000; got ${JSON.stringify(name.slice(0, 40))}`,
  );
}
