/** Figures of a classifier on labelled recordings. Knows no audio and no model. */

/** What was said of one recording. */
export interface Judgement {
  readonly truth: string;
  /** In the order of the model's labels; they sum to 1. */
  readonly probabilities: Float32Array | Float64Array;
}

export interface Figures {
  readonly recordings: number;
  /** Labels that both the recordings and the model have; guesses go only to these. */
  readonly labels: readonly string[];
  /** Unweighted average recall: the mean over labels of the share found. Chance is 1 / labels. */
  readonly uar: number;
  /** Share of recordings judged right. */
  readonly accuracy: number;
  /** confusion[truth][guess], in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
}

/** @returns undefined when the recordings have no label of the model. */
export function figuresOf(
  judgements: readonly Judgement[],
  modelLabels: readonly string[],
): Figures | undefined {
  const labels = modelLabels.filter((label) => judgements.some(({ truth }) => truth === label));
  if (labels.length === 0) return undefined;
  const confusion = labels.map(() => labels.map(() => 0));
  let recordings = 0;
  let right = 0;
  for (const { truth, probabilities } of judgements) {
    const row = confusion[labels.indexOf(truth)];
    if (row === undefined) continue;
    const scores = labels.map((label) => probabilities[modelLabels.indexOf(label)] ?? 0);
    const guess = scores.indexOf(Math.max(...scores));
    row[guess] = (row[guess] ?? 0) + 1;
    recordings++;
    right += labels[guess] === truth ? 1 : 0;
  }
  const recalls = confusion.map((row, i) => (row[i] ?? 0) / row.reduce((sum, count) => sum + count, 0));
  return {
    recordings,
    labels,
    uar: recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length,
    accuracy: right / recordings,
    confusion,
  };
}
