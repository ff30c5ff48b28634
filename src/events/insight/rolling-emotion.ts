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

/** One quantity's two means and the direction it is in. */
interface Track {
  readonly of: string;
  readonly threshold: number;
  recent: number;
  long: number;
  /** −1, 0 or 1. */
  direction: number;
  sinceMs: number;
}

export class RollingEmotion {
  readonly #timeConstantMs: number;
  #tracks: Track[] = [];
  #model = "";
  #abstained = 0;

  /** @param timeConstantMs of the recent mean. */
  constructor(timeConstantMs: number) {
    this.#timeConstantMs = timeConstantMs;
  }

  /** Nothing has been said that could be judged. */
  get empty(): boolean {
    return this.#tracks.length === 0;
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
    for (const track of this.#tracks) {
      const value = trackedValue(data, track.of);
      track.recent += recent * (value - track.recent);
      track.long += long * (value - track.long);
      turn(track, atMs);
    }
  }

  /** @returns undefined while {@link empty} */
  state(atMs: number): RollingState | undefined {
    if (this.empty) return undefined;
    const scores: Record<string, number> = {};
    let top: Track | undefined;
    let valence = 0;
    let arousal = 0;
    for (const track of this.#tracks) {
      if (track.of === "valence") valence = track.recent;
      else if (track.of === "arousal") arousal = track.recent;
      else {
        scores[track.of] = track.recent;
        if (top === undefined || track.recent > top.recent) top = track;
      }
    }
    const trends = this.#tracks
      .filter(({ direction }) => direction !== 0)
      .map(({ of, direction, sinceMs, recent, long, threshold }) => ({
        trend: {
          of,
          direction: direction > 0 ? ("rising" as const) : ("falling" as const),
          forMs: Math.max(0, atMs - sinceMs),
          change: recent - long,
        },
        strength: Math.abs(recent - long) / threshold,
      }))
      .sort((a, b) => b.strength - a.strength)
      .map(({ trend }) => trend);
    return {
      top: top?.of ?? "",
      confidence: top?.recent ?? 0,
      scores,
      valence,
      arousal,
      abstainedShare: this.#abstained,
      trends,
    };
  }

  #begin(data: EventData<"emotion">, atMs: number): void {
    this.#model = data.model;
    this.#tracks = [...Object.keys(data.scores), "valence", "arousal"].map((of) => ({
      of,
      threshold: of === "valence" || of === "arousal" ? AXIS_TREND : SCORE_TREND,
      recent: trackedValue(data, of),
      long: trackedValue(data, of),
      direction: 0,
      sinceMs: atMs,
    }));
  }
}

/** A label named like an axis would be a model's mischief: the axis wins. */
const trackedValue = ({ valence, arousal, scores }: EventData<"emotion">, of: string): number =>
  of === "valence" ? valence : of === "arousal" ? arousal : (scores[of] ?? 0);

function turn(track: Track, atMs: number): void {
  const change = track.recent - track.long;
  const size = Math.abs(change);
  const direction =
    size >= track.threshold ? Math.sign(change) : size < track.threshold / 2 ? 0 : track.direction;
  // A trend does not outlive its change of sign.
  const next = direction !== 0 && Math.sign(change) !== direction ? 0 : direction;
  if (next === track.direction) return;
  track.direction = next;
  track.sinceMs = atMs;
}
