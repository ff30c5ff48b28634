/** How one participant's audio arrives: turns the counters of its chain into the data of a quality event. */
import type { Clock } from "./core/clock.ts";
import type { DecodeStats } from "./stream/index.ts";
import type { JitterStats } from "./transport/index.ts";

export interface Quality {
  /** Time since the last one. */
  readonly periodMs: number;
  /** Since the participant joined. */
  readonly packets: {
    readonly received: number;
    readonly lost: number;
    readonly recovered: number;
    readonly late: number;
    readonly duplicate: number;
    readonly ignored: number;
  };
  /** Lost packets of those expected in the period, before recovery, 0–1. */
  readonly lossShare: number;
  readonly jitterMs: number;
}

export class QualityMeter {
  readonly #clock: Clock;
  readonly #jitter: JitterStats;
  readonly #decode: DecodeStats;
  #lastMs: number;
  #lastLost = 0;
  #lastExpected = 0;

  constructor(clock: Clock, jitter: JitterStats, decode: DecodeStats) {
    this.#clock = clock;
    this.#jitter = jitter;
    this.#decode = decode;
    this.#lastMs = clock.now();
  }

  /** The state now; begins a new period. */
  take(): Quality {
    const { received, late, duplicate, jitterMs } = this.#jitter;
    // A RED copy fills its hole in the jitter buffer, FEC in the decoder: both were lost on the way.
    const lost = this.#jitter.lost + this.#jitter.recovered;
    const recovered = this.#jitter.recovered + this.#decode.recoveredPackets;
    const { empty, unknownType, malformedRed, stray, oldSsrc } = this.#jitter.ignored;
    const ignored = empty + unknownType + malformedRed + stray + oldSsrc + this.#decode.invalidPackets;
    const expected = received - late - duplicate + lost;
    const now = this.#clock.now();
    const lostNow = lost - this.#lastLost;
    const expectedNow = expected - this.#lastExpected;
    const quality: Quality = {
      periodMs: now - this.#lastMs,
      packets: { received, lost, recovered, late, duplicate, ignored },
      lossShare: expectedNow <= 0 ? 0 : Math.min(1, Math.max(0, lostNow / expectedNow)),
      jitterMs,
    };
    this.#lastMs = now;
    this.#lastLost = lost;
    this.#lastExpected = expected;
    return quality;
  }
}
