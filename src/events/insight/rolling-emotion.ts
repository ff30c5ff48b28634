/**
 * What is expressed lately, and where it goes: exponentially weighted means and trends. Knows nothing of participants
 * or events' rates (insights.ts).
 *
 * Two means of every score run side by side, one with the time constant τ (8 s by default), one with 4 τ. Time is
 * speech: a window moves the means by the media time since the one before it, 2 s at most, so that silence fades
 * nothing and one window after a long silence does not decide alone. (The weighting of irregular samples is that of
 * A. Eckner, "Algorithms for unevenly spaced time series", 2012, last-point rule.) The recent mean less the longer one
 * is the trend, as in a moving-average crossover: beyond 0.06 (0.1 for valence and arousal, whose range is twice as
 * wide) it begins, below half of that it is over. Windows that abstained move `abstainedShare` alone.
 */
import type { EventData } from "../schema.ts";

/** The part of `participant.state` and `call.state` that is computed here. */
export type RollingState = Omit<EventData<"call.state">, "callId" | "voices">;

/** Media time that one window may move the means by, ms. */
export const MAX_STEP_MS = 2_000;

const LONG_FACTOR = 4;
const SCORE_TREND = 0.06;
const AXIS_TREND = 0.1;

/** Columns of a quantity: its two means, its direction (−1, 0 or 1), and since when. */
const RECENT = 0;
const LONG = 1;
const DIRECTION = 2;
const SINCE = 3;
const COLUMNS = 4;

export class RollingEmotion {
  readonly #timeConstantMs: number;
  /** What is followed: every score, valence, arousal. */
  #of: readonly string[] = [];
  /** [quantities, COLUMNS]: a participant has one, so it is one array. */
  #tracks = new Float64Array(0);
  #model = "";
  #abstained = 0;

  /** @param timeConstantMs of the recent mean. */
  constructor(timeConstantMs: number) {
    this.#timeConstantMs = timeConstantMs;
  }

  /** Nothing has been said that could be judged. */
  get empty(): boolean {
    return this.#of.length === 0;
  }

  /**
   * @param stepMs media time that this window adds
   * @param atMs its moment, for how long a trend lasts; on any clock, the same one each time
   */
  add(data: EventData<"emotion">, stepMs: number, atMs: number): void {
    const recent = 1 - Math.exp(-stepMs / this.#timeConstantMs);
    this.#abstained += recent * ((data.abstained ? 1 : 0) - this.#abstained);
    if (data.abstained) return;
    if (data.model !== this.#model) {
      this.#begin(data, atMs);
      return;
    }
    const long = 1 - Math.exp(-stepMs / (LONG_FACTOR * this.#timeConstantMs));
    for (const [i, of] of this.#of.entries()) {
      const value = trackedValue(data, of);
      this.#approach(i, RECENT, recent, value);
      this.#approach(i, LONG, long, value);
      this.#turn(i, atMs);
    }
  }

  /** @returns undefined while {@link empty} */
  state(atMs: number): RollingState | undefined {
    if (this.empty) return undefined;
    const scores: Record<string, number> = {};
    let top = "";
    let confidence = 0;
    let valence = 0;
    let arousal = 0;
    for (const [i, of] of this.#of.entries()) {
      const recent = this.#get(i, RECENT);
      if (of === "valence") valence = recent;
      else if (of === "arousal") arousal = recent;
      else {
        scores[of] = recent;
        if (top === "" || recent > confidence) [top, confidence] = [of, recent];
      }
    }
    const trends = this.#of
      .map((of, i) => ({ of, direction: this.#get(i, DIRECTION), change: this.#change(i), i }))
      .filter(({ direction }) => direction !== 0)
      .map(({ of, direction, change, i }) => ({
        trend: {
          of,
          direction: direction > 0 ? ("rising" as const) : ("falling" as const),
          forMs: Math.max(0, atMs - this.#get(i, SINCE)),
          change,
        },
        strength: Math.abs(change) / thresholdOf(of),
      }))
      .sort((a, b) => b.strength - a.strength)
      .map(({ trend }) => trend);
    return {
      top,
      confidence,
      scores,
      valence,
      arousal,
      abstainedShare: this.#abstained,
      trends,
    };
  }

  #begin(data: EventData<"emotion">, atMs: number): void {
    this.#model = data.model;
    this.#of = [...Object.keys(data.scores), "valence", "arousal"];
    this.#tracks = Float64Array.from(
      this.#of.flatMap((of) => [trackedValue(data, of), trackedValue(data, of), 0, atMs]),
    );
  }

  #get(quantity: number, column: number): number {
    return this.#tracks[COLUMNS * quantity + column] ?? 0;
  }

  #approach(quantity: number, column: number, share: number, value: number): void {
    const before = this.#get(quantity, column);
    this.#tracks[COLUMNS * quantity + column] = before + share * (value - before);
  }

  /** Of the recent mean less the longer one. */
  #change(quantity: number): number {
    return this.#get(quantity, RECENT) - this.#get(quantity, LONG);
  }

  #turn(quantity: number, atMs: number): void {
    const threshold = thresholdOf(this.#of[quantity] ?? "");
    const before = this.#get(quantity, DIRECTION);
    const change = this.#change(quantity);
    const size = Math.abs(change);
    const direction = size >= threshold ? Math.sign(change) : size < threshold / 2 ? 0 : before;
    // A trend does not outlive its change of sign.
    const next = direction !== 0 && Math.sign(change) !== direction ? 0 : direction;
    if (next === before) return;
    this.#tracks[COLUMNS * quantity + DIRECTION] = next;
    this.#tracks[COLUMNS * quantity + SINCE] = atMs;
  }
}

const thresholdOf = (of: string): number => (of === "valence" || of === "arousal" ? AXIS_TREND : SCORE_TREND);

/** A label named like an axis would be a model's mischief: the axis wins. */
const trackedValue = ({ valence, arousal, scores }: EventData<"emotion">, of: string): number =>
  of === "valence" ? valence : of === "arousal" ? arousal : (scores[of] ?? 0);
