/** The scores of a confusion matrix. */

/** Shares of 1. */
export interface Scores {
  /** Unweighted average recall: the mean over labels of the share found. Chance is 1 / labels. */
  readonly uar: number;
  /** Weighted accuracy: the share of recordings judged right. */
  readonly accuracy: number;
  /** Mean over labels of the harmonic mean of recall and precision. */
  readonly macroF1: number;
}

/** A recording after its guess, as numbers of `labels`. */
export interface Guessed {
  readonly truth: number;
  readonly guess: number;
  readonly speaker: string;
}

/** confusion[truth][guess]. */
export function confusionOf(guessed: readonly Guessed[], labels: number): number[][] {
  const confusion = Array.from({ length: labels }, () => new Array<number>(labels).fill(0));
  for (const { truth, guess } of guessed) {
    const row = confusion[truth];
    if (row !== undefined) row[guess] = (row[guess] ?? 0) + 1;
  }
  return confusion;
}

/** A label without recordings counts for nothing; of no recordings at all, every score is 0. */
export function scoresOf(confusion: readonly (readonly number[])[]): Scores {
  let right = 0;
  let recordings = 0;
  let present = 0;
  let recalls = 0;
  let f1s = 0;
  confusion.forEach((row, label) => {
    const found = row[label] ?? 0;
    const meant = row.reduce((sum, count) => sum + count, 0);
    const said = confusion.reduce((sum, other) => sum + (other[label] ?? 0), 0);
    right += found;
    recordings += meant;
    if (meant === 0) return;
    present++;
    recalls += found / meant;
    f1s += (2 * found) / (meant + said);
  });
  if (present === 0) return { uar: 0, accuracy: 0, macroF1: 0 };
  return { uar: recalls / present, accuracy: right / recordings, macroF1: f1s / present };
}
