/** Maps one participant's samples to wall time: by the sender's clock when RTCP tells it, else by packet arrival. */
import type { Clock } from "./clock.ts";
import type { SenderReport } from "./rtp.ts";
import {
  type MonotonicMs,
  type RtpTicks,
  SAMPLES_PER_MS,
  type SampleIndex,
  type WallMs,
  wallMs,
} from "./units.ts";

/** ms of wall time a ms of media that the arrival offset may rise (500 ppm): follows a sender's slow clock, not its queueing. */
const ARRIVAL_RISE_PER_MS = 1 / 2000;
/** All audio this much later than it was, ms, for this long, ms of media: its sender stood still, no queue is that steady. */
const STALL_MS = 1_000;
const STALL_SEEN_MS = 2_000;

export interface WallTime {
  readonly wallMs: WallMs;
  readonly source: "ntp" | "arrival";
}

/**
 * decodeAudio() anchors it (which tick is which sample), sender reports refine it, slidingWindows() reads it.
 * Without reports, a sample's wall time is that of the least delayed packet so far, queueing only ever adds, until the
 * sender stands still.
 */
export class MediaClock {
  readonly #clock: Clock;
  #anchorTicks = 0;
  #anchorSample = 0;
  #clockRateHz = 48_000;
  #anchored = false;
  /** Whose packets these are; undefined if nobody said. */
  #ssrc: number | undefined;
  /** Wall time of sample 0 by the sender's clock. */
  #ntpZeroMs: number | undefined;
  /** Wall time of sample 0 by the least delayed packet. */
  #arrivalZeroMs: number | undefined;
  #arrivalSampleMs = 0;
  /** Since when all audio is late, in media time, and the least late of it. */
  #late: { readonly sinceMs: number; zeroMs: number } | undefined;
  /** The latest report of a stream that is not anchored yet. */
  #pending: SenderReport | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Says that the sample at `sample` has RTP time `ticks` (unwrapped). Called at a reset and whenever they drift apart. */
  anchor(ticks: RtpTicks, sample: SampleIndex, clockRateHz: number): void {
    this.#anchorTicks = ticks;
    this.#anchorSample = sample;
    this.#clockRateHz = clockRateHz;
    this.#anchored = true;
    if (this.#pending !== undefined) this.report(this.#pending);
  }

  /**
   * A new stream or timeline: earlier reports say nothing of it, but for one that came ahead of its first packet.
   * @param ssrc from now on only reports of this one count; of any if undefined.
   */
  begin(ssrc: number | undefined): void {
    const isAhead = this.#pending !== undefined && this.#pending.ssrc === ssrc;
    if (this.#anchored && !isAhead) this.#pending = undefined;
    this.#ssrc = ssrc;
    this.#anchored = false;
    this.#ntpZeroMs = undefined;
    this.#arrivalZeroMs = undefined;
    this.#late = undefined;
  }

  /** Notes when audio ending at `end` arrived. */
  arrived(end: SampleIndex, arrivalMs: MonotonicMs): void {
    const mediaMs = end / SAMPLES_PER_MS;
    const arrivalWall = this.#clock.wall() - (this.#clock.now() - arrivalMs);
    const zero = arrivalWall - mediaMs;
    const previous = this.#arrivalZeroMs;
    if (previous === undefined) this.#arrivalZeroMs = zero;
    else {
      const risen = previous + Math.max(0, mediaMs - this.#arrivalSampleMs) * ARRIVAL_RISE_PER_MS;
      this.#arrivalZeroMs = Math.min(risen, zero);
      if (zero < risen + STALL_MS) this.#late = undefined;
      else this.#noteLate(mediaMs, zero);
    }
    this.#arrivalSampleMs = mediaMs;
  }

  /** A sender on hold may go on where its timestamps stood: from then on all of it is late, and that is the new time. */
  #noteLate(mediaMs: number, zeroMs: number): void {
    this.#late ??= { sinceMs: mediaMs, zeroMs };
    this.#late.zeroMs = Math.min(this.#late.zeroMs, zeroMs);
    if (mediaMs - this.#late.sinceMs < STALL_SEEN_MS) return;
    this.#arrivalZeroMs = this.#late.zeroMs;
    this.#late = undefined;
  }

  /** RFC 3550 §6.4.1: pairs an RTP timestamp with the sender's NTP time. */
  report(report: SenderReport): void {
    // A change of SSRC shows in its report before its packets are believed.
    const isOther = this.#ssrc !== undefined && report.ssrc !== this.#ssrc;
    if (!this.#anchored || isOther) {
      this.#pending = report;
      return;
    }
    this.#pending = undefined;
    // The report's timestamp is 32 bits: take the value nearest to the newest audio's. The anchor may be days old.
    const anchorMs = this.#anchorSample / SAMPLES_PER_MS;
    const newestMs = Math.max(anchorMs, this.#arrivalSampleMs);
    const newest = this.#anchorTicks + Math.round(((newestMs - anchorMs) * this.#clockRateHz) / 1000);
    const distance = (report.rtpTimestamp - newest) | 0;
    this.#ntpZeroMs = report.ntpWallMs - newestMs - (distance * 1000) / this.#clockRateHz;
  }

  wallOf(sample: SampleIndex): WallTime {
    const mediaMs = sample / SAMPLES_PER_MS;
    if (this.#ntpZeroMs !== undefined) return { wallMs: wallMs(this.#ntpZeroMs + mediaMs), source: "ntp" };
    const zero = this.#arrivalZeroMs ?? this.#clock.wall() - mediaMs;
    return { wallMs: wallMs(zero + mediaMs), source: "arrival" };
  }
}
