/** What packets must be to go through jitter buffer and decoder. Each rule gives the first fault in words, or nothing. */
import type { AudioCodec, AudioMimeType, CodecMap, RtpPacket } from "../core/rtp.ts";
import { payloadTicks } from "../transport/index.ts";
import type { Heard } from "./trial.ts";

type Fault = string | undefined;

const AUDIO: ReadonlySet<AudioMimeType> = new Set([
  "audio/opus",
  "audio/PCMU",
  "audio/PCMA",
  "audio/L16",
  "audio/red",
]);
const KNOWN: ReadonlySet<string> = new Set([...AUDIO, "audio/CN", "audio/telephone-event"]);

export function codecsFault(codecs: CodecMap): Fault {
  if (typeof codecs?.get !== "function") return "codecs is no Map";
  const entries = [...codecs];
  if (!entries.some(([, { mimeType }]) => AUDIO.has(mimeType))) return "codecs has no audio codec";
  for (const [payloadType, codec] of entries) {
    const fault = codecFault(payloadType, codec);
    if (fault !== undefined) return `payload type ${payloadType}: ${fault}`;
  }
  return undefined;
}

function codecFault(payloadType: number, { mimeType, clockRateHz, channels }: AudioCodec): Fault {
  if (!isWhole(payloadType, 127)) return "payload types are 0–127";
  if (!KNOWN.has(mimeType)) return `mimeType ${mimeType} is none of ${[...KNOWN].join(", ")}`;
  if (!isWhole(channels, 8) || channels === 0) return `channels must be 1–8, got ${channels}`;
  const isOpus = mimeType === "audio/opus" || mimeType === "audio/red";
  // RFC 7587 §4.1: the RTP clock is 48 kHz whatever the audio rate.
  if (mimeType === "audio/opus" && clockRateHz !== 48_000)
    return `Opus has a clock of 48000 Hz, got ${clockRateHz}`;
  const isG711 = mimeType === "audio/PCMU" || mimeType === "audio/PCMA";
  if (isG711 && clockRateHz !== 8_000) return `G.711 has a clock of 8000 Hz, got ${clockRateHz}`;
  if (!isOpus && !(clockRateHz >= 8_000 && clockRateHz <= 192_000)) {
    return `clockRateHz must be 8000–192000, got ${clockRateHz}`;
  }
  return undefined;
}

export function fieldFault({ packet }: Heard): Fault {
  const { sequence, timestamp, ssrc, payloadType, marker, payload, arrivalMs, audioLevel } = packet;
  if (!isWhole(sequence, 0xffff)) return `sequence must be 16 bits, unsigned, got ${sequence}`;
  if (!isWhole(timestamp, 0xffff_ffff)) return `timestamp must be 32 bits, unsigned, got ${timestamp}`;
  if (!isWhole(ssrc, 0xffff_ffff)) return `ssrc must be 32 bits, unsigned, got ${ssrc}`;
  if (!isWhole(payloadType, 127)) return `payloadType must be 0–127, got ${payloadType}`;
  if (typeof marker !== "boolean") return `marker must be true or false, got ${marker}`;
  if (!(payload instanceof Uint8Array)) return "payload must be a Uint8Array";
  if (!Number.isFinite(arrivalMs)) return `arrivalMs must be a time, got ${arrivalMs}`;
  if (audioLevel !== undefined && !isWhole(audioLevel.level, 127)) {
    return `audioLevel.level must be 0–127, got ${audioLevel.level}`;
  }
  return undefined;
}

/** Arrival is of the clock that everything else goes by: a receive time, not a media time. */
export function arrivalFault(heard: readonly Heard[], toleranceMs: number): Fault {
  let last = Number.NEGATIVE_INFINITY;
  for (const { packet, atMs } of heard) {
    const offMs = packet.arrivalMs - atMs;
    if (Math.abs(offMs) > toleranceMs) {
      return `arrivalMs is ${Math.round(Math.abs(offMs))} ms ${offMs < 0 ? "before" : "after"} the packet came: use clock.now()`;
    }
    if (packet.arrivalMs < last) return "arrivalMs runs backwards";
    last = packet.arrivalMs;
  }
  return undefined;
}

/** Neighbours in sequence are apart in time by what the first of them holds, or by more, where silence was left out. */
export function timeFault(heard: readonly Heard[], codecs: CodecMap): Fault {
  let pairs = 0;
  const bySequence = heard.toSorted((a, b) => (a.packet.sequence - b.packet.sequence) << 16);
  for (let i = 1; i < bySequence.length; i++) {
    const earlier = bySequence[i - 1]?.packet;
    const later = bySequence[i]?.packet;
    if (earlier === undefined || later === undefined || !areNeighbours(earlier, later)) continue;
    const codec = codecs.get(earlier.payloadType);
    const holds = codec && payloadTicks(codec, earlier.payload);
    if (codec === undefined || holds === undefined) continue;
    pairs++;
    const apart = (later.timestamp - earlier.timestamp) >>> 0;
    if (apart < holds || apart > 0x7fff_ffff) {
      return (
        `packet ${later.sequence} is ${apart | 0} ticks after packet ${earlier.sequence}, which holds ${holds} ticks of ` +
        `${codec.mimeType} at ${codec.clockRateHz} Hz`
      );
    }
  }
  return pairs === 0 ? "no 2 packets in sequence came: timestamps cannot be judged" : undefined;
}

const areNeighbours = (earlier: RtpPacket, later: RtpPacket): boolean =>
  earlier.ssrc === later.ssrc &&
  earlier.payloadType === later.payloadType &&
  ((later.sequence - earlier.sequence) & 0xffff) === 1;

const isWhole = (value: number, max: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= max;
