/** 95 % bootstrap intervals: how far a figure moves when other recordings, or other speakers, had been drawn. */
import { confusionOf, type Guessed, type Scores, scoresOf } from "./scores.ts";

/** From, to. */
export type Interval = readonly [number, number];

const ROUNDS = 1_000;

/** Recordings are drawn anew within each label, so that no label can vanish. */
export function recordingIntervals(
  guessed: readonly Guessed[],
  labels: number,
): Record<keyof Scores, Interval> {
  const pools = [...Map.groupBy(guessed, ({ truth }) => truth).values()];
  return intervals(labels, (draw) => pools.flatMap((pool) => pool.map(() => pool[draw(pool.length)])));
}

/** Speakers are drawn anew with all their recordings, for recordings of one voice stand and fall together. */
export function speakerIntervals(
  guessed: readonly Guessed[],
  labels: number,
): Record<keyof Scores, Interval> {
  const voices = [...Map.groupBy(guessed, ({ speaker }) => speaker).values()];
  return intervals(labels, (draw) => voices.flatMap(() => voices[draw(voices.length)] ?? []));
}

/** @param sample one draw; `draw(n)` gives a whole number below n, the same row of them every time. */
function intervals(
  labels: number,
  sample: (draw: (below: number) => number) => readonly (Guessed | undefined)[],
): Record<keyof Scores, Interval> {
  const draw = seededDraw();
  const rounds = Array.from({ length: ROUNDS }, () =>
    scoresOf(
      confusionOf(
        sample(draw).filter((one) => one !== undefined),
        labels,
      ),
    ),
  );
  const interval = (name: keyof Scores): Interval => {
    const values = rounds.map((scores) => scores[name]).sort((a, b) => a - b);
    return [values[Math.floor(0.025 * ROUNDS)] ?? 0, values[Math.ceil(0.975 * ROUNDS) - 1] ?? 0];
  };
  return { uar: interval("uar"), accuracy: interval("accuracy"), macroF1: interval("macroF1") };
}

/** xorshift32. */
function seededDraw(): (below: number) => number {
  let state = 0x9e3779b9;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}
