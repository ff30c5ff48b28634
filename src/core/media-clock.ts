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

export interface WallTime {
  readonly wallMs: WallMs;
  readonly source: "ntp" | "arrival";
}

/**
 * decodeAudio() anchors it (which tick is which sample), sender reports refine it, slidingWindows() reads it.
 * Without reports, a sample's wall time is that of the least delayed packet so far: queueing only ever adds.
 */
export class MediaClock {
  readonly #clock: Clock;
  #anchorTicks = 0;
  #anchorSample = 0;
  #clockRateHz = 48_000;
  #anchored = false;
  /** Wall time of sample 0 by the sender's clock. */
  #ntpZeroMs: number | undefined;
  /** Wall time of sample 0 by the least delayed packet. */
  #arrivalZeroMs: number | undefined;
  #arrivalSampleMs = 0;
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

  /** A new stream (SSRC): earlier reports say nothing of it. */
  forgetSender(): void {
    this.#anchored = false;
    this.#ntpZeroMs = undefined;
    this.#arrivalZeroMs = undefined;
    this.#pending = undefined;
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
    }
    this.#arrivalSampleMs = mediaMs;
  }

  /** RFC 3550 §6.4.1: pairs an RTP timestamp with the sender's NTP time. */
  report(report: SenderReport): void {
    if (!this.#anchored) {
      this.#pending = report;
      return;
    }
    this.#pending = undefined;
    // The report's timestamp is 32 bits: take the value nearest to the anchor's.
    const wrap = 2 ** 32;
    const low = ((this.#anchorTicks % wrap) + wrap) % wrap;
    let distance = report.rtpTimestamp - low;
    if (distance > wrap / 2) distance -= wrap;
    if (distance < -wrap / 2) distance += wrap;
    const mediaMs = this.#anchorSample / SAMPLES_PER_MS + (distance * 1000) / this.#clockRateHz;
    this.#ntpZeroMs = report.ntpWallMs - mediaMs;
  }

  wallOf(sample: SampleIndex): WallTime {
    const mediaMs = sample / SAMPLES_PER_MS;
    if (this.#ntpZeroMs !== undefined) return { wallMs: wallMs(this.#ntpZeroMs + mediaMs), source: "ntp" };
    const zero = this.#arrivalZeroMs ?? this.#clock.wall() - mediaMs;
    return { wallMs: wallMs(zero + mediaMs), source: "arrival" };
  }
}
