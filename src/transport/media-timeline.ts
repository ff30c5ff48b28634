/**
 * Turns an ordered run of packets and missing packets into media units that cover media time exactly once.
 * Order, waiting and what counts as missing are jitter-buffer.ts.
 *
 * Sequence numbers say how many packets are missing, timestamps say how much time is. Each missing packet gets the
 * length of the packet before it (`lost`); time left over was never sent (`gap`). Where time is short, because some
 * of the missing were padding or events, fewer are emitted. Missing packets are therefore held until the next audio
 * packet tells its time; which is why they can also learn of `next`, and of RED copies of themselves.
 */
import type { CodedAudio, MediaUnit } from "../core/media.ts";
import type { AudioCodec, AudioMimeType, CodecMap, RtpPacket } from "../core/rtp.ts";
import { type MonotonicMs, rtpTicks } from "../core/units.ts";
import type { JitterStats } from "./jitter-stats.ts";
import { payloadTicks } from "./packet-duration.ts";
import { type RedCopy, splitRed } from "./red.ts";
import { extendTimestamp } from "./sequence.ts";

/** Length of a packet that does not say it, when none before it did, ms. RFC 3551 §4.2. */
const DEFAULT_PACKET_MS = 20;
/** Silence and loss cannot last longer than they took, but for this much in all, for senders that do not pace, ms. */
const MAX_UNPACED_GAP_MS = 60_000;
/** A delayed packet's timestamp is no further from the current one than this, ms. */
const MAX_PLAUSIBLE_AGE_MS = 10_000;
/** Copies kept for holes at most; a full RED packet has far fewer. */
const MAX_COPIES = 64;

interface Copy {
  readonly ticks: number;
  readonly durationTicks: number;
  readonly audio: CodedAudio;
}

export class MediaTimeline {
  readonly #codecs: CodecMap;
  readonly #stats: JitterStats;
  readonly #emit: (unit: MediaUnit) => void;
  /** False until the first audio packet of the stream. */
  #started = false;
  #clockRateHz = 0;
  /** Media time up to which everything is emitted. */
  #end = 0;
  /** Timestamp of the latest audio packet, unwrapped; packets must come after it. */
  #last = 0;
  #lastArrivalMs = 0;
  /**
   * Media time without packets that the sender may still claim, ms. It grows as time passes and outlives streams: each
   * jump costs us work, and a packet of 13 bytes could claim 10 s of it.
   */
  #creditMs = MAX_UNPACED_GAP_MS;
  /** Length of the latest audio packet: what a missing one is taken to have had. */
  #packetTicks = 0;
  /** Missing packets since then. */
  #missing = 0;
  /** RED copies of packets not yet emitted, by time. */
  #copies: Copy[] = [];

  constructor(codecs: CodecMap, stats: JitterStats, emit: (unit: MediaUnit) => void) {
    this.#codecs = codecs;
    this.#stats = stats;
    this.#emit = emit;
  }

  /** Begins a stream, with this packet. */
  reset(reason: "start" | "ssrc" | "jump", { ssrc, arrivalMs }: RtpPacket): void {
    this.end();
    if (reason !== "start") this.#stats.resets++;
    this.#started = false;
    this.#emit({ kind: "reset", reason, ssrc, arrivalMs });
  }

  /** Nothing more comes: what is still missing had no known time, so it is counted only. */
  end(): void {
    this.#stats.lost += this.#missing;
    this.#missing = 0;
    this.#copies = [];
  }

  /** The next packet in sequence will not come. */
  missing(): void {
    this.#missing++;
  }

  /** The next packet in sequence. */
  packet(packet: RtpPacket): void {
    const codec = this.#codecs.get(packet.payloadType);
    const ignored = this.#stats.ignored;
    if (packet.payload.length === 0) ignored.empty++;
    else if (codec === undefined) ignored.unknownType++;
    else if (codec.mimeType === "audio/telephone-event") ignored.telephoneEvent++;
    else if (codec.mimeType === "audio/CN") this.#comfortNoise(packet, codec);
    else if (codec.mimeType === "audio/red") this.#red(packet);
    else this.#audio(packet, codec, packet);
  }

  /** Whether a packet found late or doubled can be of this stream, by its timestamp. */
  plausible(timestamp: number): boolean {
    const distance = Math.abs((timestamp - this.#last) | 0);
    return !this.#started || distance * 1000 <= MAX_PLAUSIBLE_AGE_MS * this.#clockRateHz;
  }

  /** Takes the RED copies out of a packet that came while there are holes before it. */
  keepCopies(packet: RtpPacket): void {
    if (!this.#started || this.#codecs.get(packet.payloadType)?.mimeType !== "audio/red") return;
    const red = splitRed(packet.payload);
    if (red !== "malformed") this.#keep(red.copies, packet.timestamp);
  }

  #keep(copies: readonly RedCopy[], timestamp: number): void {
    const time = extendTimestamp(timestamp, this.#last);
    for (const { payload, payloadType, offsetTicks } of copies) {
      const ticks = time - offsetTicks;
      const codec = this.#codecs.get(payloadType);
      const durationTicks = codec && payloadTicks(codec, payload);
      const wanted =
        codec?.clockRateHz === this.#clockRateHz &&
        this.#copies.length < MAX_COPIES &&
        !this.#copies.some((copy) => copy.ticks === ticks);
      if (wanted && durationTicks !== undefined) {
        this.#copies.push({ ticks, durationTicks, audio: { payload, payloadType } });
      }
    }
    this.#copies.sort((a, b) => a.ticks - b.ticks);
  }

  /** Whether copies stand for all `holes` missing packets right before `next`: then there is nothing to wait for. */
  covers(holes: number, next: RtpPacket): boolean {
    if (this.#copies.length < holes + this.#missing) return false;
    const mimeType = this.#codecs.get(next.payloadType)?.mimeType;
    if (mimeType === undefined || mimeType === "audio/telephone-event") return false;
    const time = extendTimestamp(next.timestamp, this.#last);
    return this.#copiesUpTo(time).length >= holes + this.#missing;
  }

  get hasCopies(): boolean {
    return this.#copies.length > 0;
  }

  #red(packet: RtpPacket): void {
    const red = splitRed(packet.payload);
    const codec = red === "malformed" ? undefined : this.#codecs.get(red.primary.payloadType);
    if (red === "malformed" || codec === undefined || !isAudio(codec)) this.#stats.ignored.malformedRed++;
    else if (red.primary.payload.length === 0) this.#stats.ignored.empty++;
    else {
      if (this.#missing > 0 && this.#started) this.#keep(red.copies, packet.timestamp);
      this.#audio(packet, codec, red.primary);
    }
  }

  /** RFC 3389: silence is certain up to here. The noise itself is not wanted. */
  #comfortNoise(packet: RtpPacket, codec: AudioCodec): void {
    this.#stats.ignored.comfortNoise++;
    if (!this.#started || codec.clockRateHz !== this.#clockRateHz) return;
    const time = extendTimestamp(packet.timestamp, this.#last);
    if (time <= this.#end || !this.#affords(time, packet.arrivalMs)) return;
    this.#reach(time, undefined, packet.arrivalMs);
    this.#lastArrivalMs = packet.arrivalMs;
  }

  #audio(packet: RtpPacket, codec: AudioCodec, audio: CodedAudio): void {
    const { arrivalMs, audioLevel } = packet;
    if (this.#started) {
      const time = extendTimestamp(packet.timestamp, this.#last);
      if (codec.clockRateHz === this.#clockRateHz && time === this.#last) {
        this.#stats.ignored.repeatedTimestamp++;
        return;
      }
      // Another clock, time running backwards, or a silence longer than it took: these are not the same timeline.
      if (codec.clockRateHz !== this.#clockRateHz || time < this.#last || !this.#affords(time, arrivalMs)) {
        this.reset("jump", packet);
      } else {
        this.#reach(time, audio, arrivalMs);
        this.#last = time;
      }
    }
    if (!this.#started) {
      this.end();
      this.#started = true;
      this.#clockRateHz = codec.clockRateHz;
      this.#last = packet.timestamp;
      this.#packetTicks = (codec.clockRateHz * DEFAULT_PACKET_MS) / 1000;
    }
    this.#lastArrivalMs = arrivalMs;
    this.#packetTicks = payloadTicks(codec, audio.payload) ?? this.#packetTicks;
    this.#end = this.#last + this.#packetTicks;
    const coded = { payload: audio.payload, payloadType: audio.payloadType };
    const unit = {
      kind: "packet" as const,
      ticks: rtpTicks(this.#last),
      clockRateHz: this.#clockRateHz,
      audio: coded,
      arrivalMs,
    };
    this.#emit(audioLevel === undefined ? unit : { ...unit, audioLevel });
  }

  /** Takes the time from the end to `time` off the credit; false if there is not that much. */
  #affords(time: number, arrivalMs: number): boolean {
    const creditMs = this.#creditMs + Math.max(0, arrivalMs - this.#lastArrivalMs);
    const unsentMs = Math.max(0, ((time - this.#end) * 1000) / this.#clockRateHz);
    const enough = unsentMs <= creditMs;
    this.#creditMs = Math.min(MAX_UNPACED_GAP_MS, enough ? creditMs - unsentMs : creditMs);
    return enough;
  }

  /** Fills media time up to `time`, where `next` begins: copies where there are any, else lost packets, then a gap. */
  #reach(time: number, next: CodedAudio | undefined, arrivalMs: MonotonicMs): void {
    if (this.#missing > 0) {
      const clockRateHz = this.#clockRateHz;
      const copies = this.#copiesUpTo(time);
      let losses = Math.max(0, this.#missing - copies.length);
      this.#missing = 0;
      this.#stats.lost += losses;
      this.#stats.recovered += copies.length;
      for (const { ticks, durationTicks, audio } of copies) {
        losses -= this.#fill(ticks, losses, audio, arrivalMs);
        this.#emit({
          kind: "packet",
          ticks: rtpTicks(ticks),
          clockRateHz,
          audio,
          arrivalMs,
          recovered: true,
        });
        this.#end = ticks + durationTicks;
      }
      this.#fill(time, losses, next, arrivalMs);
    } else if (time > this.#end) this.#fill(time, 0, next, arrivalMs);
    // The rest is of packets that came themselves, or of holes further on.
    if (this.#copies.length > 0) this.#copies = this.#copies.filter(({ ticks }) => ticks > time);
  }

  /** Copies for the time from the end to `time`, without those that begin within the one before them. */
  #copiesUpTo(time: number): Copy[] {
    let end = this.#end;
    return this.#copies.filter(({ ticks, durationTicks }) => {
      if (ticks < end || ticks >= time) return false;
      end = ticks + durationTicks;
      return true;
    });
  }

  /** Returns how many lost packets it emitted, at most `losses`. Leaves the end at `until`, or where it is if that is later. */
  #fill(until: number, losses: number, next: CodedAudio | undefined, arrivalMs: MonotonicMs): number {
    const clockRateHz = this.#clockRateHz;
    let emitted = 0;
    while (emitted < losses && this.#end < until) {
      const ticks = rtpTicks(this.#end);
      const durationTicks = Math.min(this.#packetTicks, until - this.#end);
      const unit = { kind: "lost" as const, ticks, clockRateHz, durationTicks, arrivalMs };
      this.#end += durationTicks;
      emitted++;
      // FEC in a packet is of the frame right before it.
      this.#emit(next !== undefined && this.#end === until ? { ...unit, next } : unit);
    }
    if (this.#end < until) {
      const ticks = rtpTicks(this.#end);
      this.#emit({ kind: "gap", ticks, clockRateHz, durationTicks: until - this.#end, arrivalMs });
      this.#end = until;
    }
    return emitted;
  }
}

const AUDIO: ReadonlySet<AudioMimeType> = new Set(["audio/opus", "audio/PCMU", "audio/PCMA", "audio/L16"]);

/** Whether it is audio by itself: neither a container nor an event. */
const isAudio = (codec: AudioCodec): boolean => AUDIO.has(codec.mimeType);
