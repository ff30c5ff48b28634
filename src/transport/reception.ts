/** How one stream of a sender arrives, in the terms of a receiver report (RFC 3550 §6.4.1, §A.3, §A.8). Sending is the caller's. */
import type { RtpPacket, SenderReport } from "../core/rtp.ts";
import type { MonotonicMs } from "../core/units.ts";
import { wallMsToNtp } from "./rtcp.ts";
import { extendSequence } from "./sequence.ts";

/** RFC 3550 §A.1: a jump beyond this is a sender that began anew. */
const MAX_DROPOUT = 3_000;

/** One block of a receiver report. */
export interface ReceptionReport {
  /** Packets lost since the last report, of 256 expected. */
  readonly fractionLost: number;
  /** Since the start, 0–2²³−1. */
  readonly packetsLost: number;
  /** 32 bits: number of wraps, sequence number. */
  readonly highestSequence: number;
  /** Ticks. */
  readonly jitter: number;
  /** Middle 32 bits of the last sender report's NTP time; 0 before the first. */
  readonly lastSenderReport: number;
  /** Since then, 1/65,536 s. */
  readonly delaySinceLastSenderReport: number;
}

export class Reception {
  readonly #ticksPerMs: number;
  #first = 0;
  #highest = -1;
  #received = 0;
  #expectedBefore = 0;
  #receivedBefore = 0;
  #transit = 0;
  #jitter = 0;
  #senderReport: SenderReport | undefined;

  constructor(clockRateHz: number) {
    this.#ticksPerMs = clockRateHz / 1000;
  }

  take({ sequence, timestamp, arrivalMs }: RtpPacket): void {
    const extended = this.#highest < 0 ? sequence : extendSequence(sequence, this.#highest);
    // Modulo 2³², so that only the difference of two transits means something.
    const transit = (Math.round(arrivalMs * this.#ticksPerMs) - timestamp) | 0;
    if (this.#highest < 0 || Math.abs(extended - this.#highest) > MAX_DROPOUT) {
      this.#begin(sequence);
      this.#transit = transit;
    } else if (extended > this.#highest) {
      this.#highest = extended;
      this.#jitter += (Math.abs((transit - this.#transit) | 0) - this.#jitter) / 16;
      this.#transit = transit;
    }
    this.#received++;
  }

  takeReport(report: SenderReport): void {
    this.#senderReport = report;
  }

  /** The state now; a new interval begins. */
  report(nowMs: MonotonicMs): ReceptionReport {
    const expected = this.#highest < 0 ? 0 : this.#highest - this.#first + 1;
    const expectedNow = expected - this.#expectedBefore;
    // Doubled packets can make up for more than was lost.
    const lostNow = Math.max(0, expectedNow - (this.#received - this.#receivedBefore));
    this.#expectedBefore = expected;
    this.#receivedBefore = this.#received;
    const report = this.#senderReport;
    const { seconds, fraction } =
      report === undefined ? { seconds: 0, fraction: 0 } : wallMsToNtp(report.ntpWallMs);
    return {
      fractionLost: expectedNow <= 0 ? 0 : Math.min(255, Math.floor((256 * lostNow) / expectedNow)),
      packetsLost: Math.min(0x7f_ffff, Math.max(0, expected - this.#received)),
      highestSequence: Math.max(0, this.#highest) % 2 ** 32,
      jitter: Math.round(this.#jitter),
      lastSenderReport: ((seconds & 0xffff) * 0x1_0000 + (fraction >>> 16)) % 2 ** 32,
      delaySinceLastSenderReport:
        report === undefined ? 0 : Math.round(((nowMs - report.arrivalMs) * 65_536) / 1000) % 2 ** 32,
    };
  }

  #begin(sequence: number): void {
    this.#first = sequence;
    this.#highest = sequence;
    this.#received = 0;
    this.#expectedBefore = 0;
    this.#receivedBefore = 0;
  }
}
