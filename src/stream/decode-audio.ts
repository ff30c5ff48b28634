/** decodeAudio(): packets in playout order → contiguous 16 kHz PCM. Order and waiting are the jitter buffer's. */
import type { OperatorFunction } from "rxjs";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { CodedAudio, MediaUnit, PcmOrigin, PcmUnit } from "../core/media.ts";
import type { MediaClock } from "../core/media-clock.ts";
import { hasOpusFec, isOpusDtx, OPUS_UNIT_SAMPLES, opusFrameSamples } from "../core/opus-packet.ts";
import type { AudioCodec, AudioLevel, CodecMap } from "../core/rtp.ts";
import {
  type MonotonicMs,
  PIPELINE_RATE_HZ,
  type RtpTicks,
  SAMPLES_PER_MS,
  type SampleIndex,
  sampleIndex,
} from "../core/units.ts";
import { comfortNoise, NOISE_PIECE } from "./comfort-noise.ts";
import { createDecodeStats, type DecodeStats } from "./decode-stats.ts";
import { G711Decoder, type G711Law } from "./g711.ts";
import { L16Decoder } from "./l16.ts";
import type { OpusDecoder } from "./opus-decoder.ts";
import { type Stage, stageOperator } from "./stage.ts";

export interface DecodeAudioOptions {
  /** From `await createOpusDecoder()`. Belongs to the operator, which serves one subscription and closes it. */
  readonly opus: OpusDecoder;
  /** What each payload type means. Read at every packet: it may change in mid-stream. */
  readonly codecs: CodecMap;
  /** Learns which RTP tick is which sample, and when audio arrived. */
  readonly mediaClock: MediaClock;
  /** ms in a row that PLC may invent before lost audio becomes marked silence. 0–120, default 60. */
  readonly maxConcealMs?: number;
  /** ms of a pause that are filled with silence; media time jumps over longer ones. 0–10,000, default 1,000. */
  readonly maxFillMs?: number;
  /** Where the first sample stands: media time goes on after a pause. Default 0. */
  readonly startSample?: SampleIndex;
  /** Counters to write to. */
  readonly stats?: DecodeStats;
}

/**
 * RTP time may stray from the samples by this much (2.5 ms) before audio is cut or filled in: senders round.
 * Silence and concealment always end on RTP time, so what is left over goes there, where nobody hears it.
 */
const TOLERANCE_SAMPLES = 40;
/** 40 ms: what either decoder conceals in one call. */
const CONCEAL_PIECE = 16 * OPUS_UNIT_SAMPLES;
/** Until a packet has been decoded, one is taken to last 20 ms. */
const USUAL_PACKET_SAMPLES = 320;

/**
 * Decodes Opus, G.711 and L16, whichever a packet's type says.
 * - A lost packet: the next packet's FEC (`recovered`) if it carries any, else PLC (`concealed`) for `maxConcealMs`
 *   in a row, else silence (`lost`). A payload that the decoder refuses counts as lost.
 * - A `gap`: silence (`dtx`) up to `maxFillMs`; over longer ones media time jumps, with a `reset` "gap".
 * - Time that no unit covers (packets of unknown type): silence, `lost`. After comfort noise (RFC 3389) or telephone
 *   events (RFC 4733): `dtx`. Audio whose time has passed already is cut off.
 * Silence is comfort noise at −70 dBFS. Samples are contiguous between resets. The decoder lives on through resets:
 * a new stream's first packet sounds a little different for it, the second one on it is exact.
 * @throws TonetapError invalid-argument when an option is out of range.
 */
export function decodeAudio(options: DecodeAudioOptions): OperatorFunction<MediaUnit, PcmUnit> {
  assertRange("maxConcealMs", options.maxConcealMs ?? 60, 0, 120);
  assertRange("maxFillMs", options.maxFillMs ?? 1_000, 0, 10_000);
  let subscribed = false;
  return stageOperator((emit) => {
    if (subscribed) throw new TonetapError("conflict", "decodeAudio() serves one subscription: make another");
    subscribed = true;
    return new AudioDecoding(options, emit);
  });
}

type LostUnit = Extract<MediaUnit, { kind: "lost" }>;
type PacketUnit = Extract<MediaUnit, { kind: "packet" }>;
type GapUnit = Extract<MediaUnit, { kind: "gap" }>;
type Decoder = "opus" | G711Law | "l16";
type ResetReason = Extract<PcmUnit, { kind: "reset" }>["reason"];

class AudioDecoding implements Stage<MediaUnit> {
  readonly #opus: OpusDecoder;
  /** Made when the first G.711 packet comes: most participants never send one. */
  #g711: G711Decoder | undefined;
  #l16: L16Decoder | undefined;
  readonly #codecs: CodecMap;
  readonly #mediaClock: MediaClock;
  readonly #maxConceal: number;
  readonly #maxFill: number;
  readonly #stats: DecodeStats;
  readonly #emit: (unit: PcmUnit) => void;
  /** Samples from the participant's first to the next one. */
  #position: number;
  #started = false;
  #anchored = false;
  #anchorTicks = 0;
  #anchorSample = 0;
  #clockRateHz = 0;
  /** What conceals: the decoder of the last packet. */
  #current: Decoder | undefined;
  #packetSamples = USUAL_PACKET_SAMPLES;
  #concealedInRow = 0;
  /** What a hole in media time means after the last packet. */
  #hole: "lost" | "dtx" = "lost";

  constructor(options: DecodeAudioOptions, emit: (unit: PcmUnit) => void) {
    this.#opus = options.opus;
    this.#codecs = options.codecs;
    this.#mediaClock = options.mediaClock;
    this.#maxConceal = (options.maxConcealMs ?? 60) * SAMPLES_PER_MS;
    this.#maxFill = (options.maxFillMs ?? 1_000) * SAMPLES_PER_MS;
    this.#position = options.startSample ?? 0;
    this.#stats = options.stats ?? createDecodeStats();
    this.#emit = emit;
  }

  take(unit: MediaUnit): void {
    switch (unit.kind) {
      case "reset":
        this.#mediaClock.begin(unit.ssrc);
        this.#reset(unit.reason, unit.arrivalMs);
        break;
      case "stalled":
        this.#emit(unit);
        break;
      case "packet":
        this.#packet(unit);
        break;
      case "lost":
        this.#lost(unit);
        break;
      case "gap":
        this.#gap(unit);
        break;
      default:
        unit satisfies never;
    }
  }

  close(): void {
    this.#opus.close();
    this.#g711?.reset();
    this.#l16?.reset();
  }

  #packet(unit: PacketUnit): void {
    const codec = this.#codecs.get(unit.audio.payloadType);
    const decoder = decoderFor(codec);
    if (decoder === undefined) {
      if (codec?.mimeType === "audio/CN" || codec?.mimeType === "audio/telephone-event") {
        this.#stats.silentPackets++;
        this.#hole = "dtx";
      } else this.#stats.unknownPackets++;
      return;
    }
    const { payload } = unit.audio;
    if (payload.length === 0) {
      // Padding only, as bandwidth probes are.
      this.#stats.silentPackets++;
      return;
    }
    const passed = this.#align(unit);
    if (decoder !== this.#current) {
      this.#g711?.reset();
      this.#l16?.reset();
      this.#current = decoder;
    }
    const samples = this.#decode(payload, decoder, codec);
    this.#hole = "lost";
    if (samples === undefined) {
      this.#stats.invalidPackets++;
      this.#conceal(Math.max(0, this.#packetSamples - passed), unit.arrivalMs);
      return;
    }
    this.#stats.decodedPackets++;
    this.#packetSamples = samples.length;
    this.#concealedInRow = 0;
    const trimmed = Math.min(passed, samples.length);
    this.#stats.trimmedSamples += trimmed;
    const isDtx = decoder === "opus" && isOpusDtx(payload);
    const origin = isDtx ? "dtx" : unit.recovered === true ? "recovered" : "decoded";
    this.#give(samples.subarray(trimmed), origin, unit.arrivalMs, unit.audioLevel);
    this.#mediaClock.arrived(sampleIndex(this.#position), unit.arrivalMs);
  }

  #lost(unit: LostUnit): void {
    const missing = this.#missing(unit);
    if (missing <= 0) return;
    if (missing > this.#maxFill) {
      this.#jump(missing, unit);
      return;
    }
    const fec = unit.next === undefined ? 0 : this.#fecSamples(unit.next);
    if (unit.next === undefined || fec === 0 || fec > missing + TOLERANCE_SAMPLES) {
      this.#conceal(missing, unit.arrivalMs);
      return;
    }
    // A packet's FEC covers one of its frames, the last before it: what was lost earlier is concealed.
    if (missing - fec > TOLERANCE_SAMPLES) this.#conceal(missing - fec, unit.arrivalMs);
    const samples = this.#opus.decodeFec(unit.next.payload, fec);
    if (samples === undefined) {
      this.#conceal(fec, unit.arrivalMs);
      return;
    }
    this.#stats.recoveredPackets++;
    this.#concealedInRow = 0;
    this.#give(samples, "recovered", unit.arrivalMs);
  }

  #gap(unit: GapUnit): void {
    const missing = this.#missing(unit);
    if (missing > this.#maxFill) this.#jump(missing, unit);
    else this.#silence(missing, "dtx", unit.arrivalMs);
  }

  #decode(payload: Uint8Array, decoder: Decoder, codec: AudioCodec | undefined): Float32Array | undefined {
    if (decoder === "opus") return this.#opus.decode(payload);
    if (decoder === "l16") {
      this.#l16 ??= new L16Decoder();
      return codec === undefined ? undefined : this.#l16.decode(payload, codec);
    }
    this.#g711 ??= new G711Decoder();
    return this.#g711.decode(payload, decoder);
  }

  /** Samples that the next packet's FEC can restore; 0 when it has none. */
  #fecSamples(next: CodedAudio): number {
    if (decoderFor(this.#codecs.get(next.payloadType)) !== "opus" || !hasOpusFec(next.payload)) return 0;
    return opusFrameSamples(next.payload);
  }

  #reset(reason: ResetReason, arrivalMs: MonotonicMs): void {
    this.#started = true;
    this.#anchored = reason === "gap";
    this.#concealedInRow = 0;
    this.#hole = "lost";
    this.#g711?.reset();
    this.#l16?.reset();
    this.#emit({ kind: "reset", reason, start: sampleIndex(this.#position), arrivalMs });
  }

  /** Makes sure that this unit's ticks have a place among the samples. */
  #place(unit: PacketUnit | LostUnit | GapUnit): void {
    if (!this.#started) this.#reset("start", unit.arrivalMs);
    // RFC 7160: after a change of clock rate, old and new timestamps cannot be compared.
    if (!this.#anchored || unit.clockRateHz !== this.#clockRateHz) {
      this.#anchor(unit.ticks, unit.clockRateHz);
    }
  }

  #anchor(ticks: RtpTicks, clockRateHz: number): void {
    this.#anchored = true;
    this.#anchorTicks = ticks;
    this.#anchorSample = this.#position;
    this.#clockRateHz = clockRateHz;
    this.#mediaClock.anchor(ticks, sampleIndex(this.#position), clockRateHz);
  }

  #sampleAt(ticks: number): number {
    return (
      this.#anchorSample + Math.round(((ticks - this.#anchorTicks) * PIPELINE_RATE_HZ) / this.#clockRateHz)
    );
  }

  /** Samples from here to the end of a stretch without audio. */
  #missing(unit: LostUnit | GapUnit): number {
    this.#place(unit);
    return this.#sampleAt(unit.ticks + unit.durationTicks) - this.#position;
  }

  /** Brings the position to a packet's time. @returns samples of the packet that are in the past already. */
  #align(unit: PacketUnit): number {
    this.#place(unit);
    const ahead = this.#sampleAt(unit.ticks) - this.#position;
    if (ahead > this.#maxFill) this.#jump(ahead, unit);
    else if (ahead > TOLERANCE_SAMPLES) this.#silence(ahead, this.#hole, unit.arrivalMs);
    else if (ahead < -this.#maxFill) {
      // Media time never runs backwards: a sender whose time did begins a new history.
      this.#reset("jump", unit.arrivalMs);
      this.#anchor(unit.ticks, unit.clockRateHz);
    } else if (ahead < -TOLERANCE_SAMPLES) return -ahead;
    return 0;
  }

  /** Media time passes without samples. */
  #jump(samples: number, unit: PacketUnit | LostUnit | GapUnit): void {
    this.#position += samples;
    this.#stats.longGaps++;
    this.#reset("gap", unit.arrivalMs);
    const end = unit.kind === "packet" ? unit.ticks : unit.ticks + unit.durationTicks;
    this.#anchor(end as RtpTicks, unit.clockRateHz);
  }

  #conceal(samples: number, arrivalMs: MonotonicMs): void {
    const concealer =
      this.#current === "opus"
        ? this.#opus
        : this.#current === "l16"
          ? undefined
          : this.#current && this.#g711;
    const allowed = concealer === undefined ? 0 : this.#maxConceal - this.#concealedInRow;
    const invented = Math.min(samples, allowed);
    for (let done = 0; concealer !== undefined && done < invented; done += CONCEAL_PIECE) {
      const piece = Math.min(CONCEAL_PIECE, invented - done);
      this.#give(concealer.conceal(piece).subarray(0, piece), "concealed", arrivalMs);
    }
    this.#concealedInRow += invented;
    this.#silence(samples - invented, "lost", arrivalMs);
  }

  #silence(samples: number, origin: "lost" | "dtx", arrivalMs: MonotonicMs): void {
    for (let left = samples; left > 0; left -= NOISE_PIECE) {
      this.#give(comfortNoise(this.#position, Math.min(left, NOISE_PIECE)), origin, arrivalMs);
    }
    if (origin === "dtx" && samples > 0) this.#concealedInRow = 0;
  }

  #give(samples: Float32Array, origin: PcmOrigin, arrivalMs: MonotonicMs, audioLevel?: AudioLevel): void {
    if (samples.length === 0) return;
    const start = sampleIndex(this.#position);
    this.#position += samples.length;
    this.#stats.samples[origin] += samples.length;
    this.#emit({
      kind: "pcm",
      samples,
      start,
      origin,
      arrivalMs,
      ...(audioLevel === undefined ? undefined : { audioLevel }),
    });
  }
}

/** undefined: not audio that can be decoded here. */
function decoderFor(codec: AudioCodec | undefined): Decoder | undefined {
  if (codec?.mimeType === "audio/opus") return "opus";
  if (codec?.mimeType === "audio/L16") return "l16";
  // RFC 3551 §4.5.14: other rates than 8 kHz exist on paper only.
  if (codec?.clockRateHz !== 8_000) return undefined;
  if (codec.mimeType === "audio/PCMU") return "mu";
  return codec.mimeType === "audio/PCMA" ? "a" : undefined;
}
