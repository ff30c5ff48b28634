/** Figures of a classifier on labelled recordings. Knows no audio and no model; intervals are bootstrap.ts, scores are scores.ts. */
import { type Interval, recordingIntervals, speakerIntervals } from "./bootstrap.ts";
import { confusionOf, type Guessed, type Scores, scoresOf } from "./scores.ts";

/** What was said of one recording. */
export interface Judgement {
  readonly truth: string;
  readonly speaker: string;
  /** As the manifest says; empty where it does not. */
  readonly sex: string;
  /** In the order of the model's labels; they sum to 1. */
  readonly probabilities: Float32Array | Float64Array;
}

export interface Figures extends Scores {
  readonly recordings: number;
  /** Labels that both the recordings and the model have; guesses go only to these. */
  readonly labels: readonly string[];
  /** confusion[truth][guess], in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
  /** 95 % intervals, if other recordings of the same speakers and labels had been taken. */
  readonly interval: Readonly<Record<keyof Scores, Interval>>;
  /** 95 % intervals, if other speakers had been taken: wider, and the ones that count for new voices. From 2 speakers on. */
  readonly speakerInterval?: Readonly<Record<keyof Scores, Interval>>;
  /** Of each speaker. */
  readonly speakers: Readonly<Record<string, { readonly recordings: number; readonly uar: number }>>;
  /** Of each sex that the manifest names: whether it judges all alike. */
  readonly sexes: Readonly<Record<string, Group>>;
  /** Expected calibration error: how far the top probability, among `labels`, is from how often it is right. 15 bins. */
  readonly ece: number;
  /** What is left when the model abstains as it does on calls. */
  readonly abstention: Abstention;
}

export interface Group {
  readonly recordings: number;
  readonly speakers: number;
  readonly uar: number;
}

export interface Abstention {
  /** The top probability, among all labels of the model, below which it abstains. */
  readonly below: number;
  /** Share that it judges. */
  readonly coverage: number;
  /** Of those that it judges; 0 of none. */
  readonly accuracy: number;
  readonly uar: number;
}

const BINS = 15;

/** The labels of the model that also occur among the recordings. */
export const sharedLabels = (judgements: readonly Judgement[], modelLabels: readonly string[]): string[] =>
  modelLabels.filter((label) => judgements.some(({ truth }) => truth === label));

/** @returns undefined when the recordings have no label of the model. */
export function figuresOf(
  judgements: readonly Judgement[],
  modelLabels: readonly string[],
  abstainBelow: number,
): Figures | undefined {
  const labels = sharedLabels(judgements, modelLabels);
  if (labels.length === 0) return undefined;
  const places = labels.map((label) => modelLabels.indexOf(label));
  const guessed: (Guessed & { readonly sex: string })[] = [];
  const kept: Guessed[] = [];
  const gap = new Float64Array(BINS);
  for (const { truth: label, speaker, sex, probabilities } of judgements) {
    const truth = labels.indexOf(label);
    if (truth < 0) continue;
    const scores = places.map((place) => probabilities[place] ?? 0);
    const top = Math.max(...scores);
    const guess = scores.indexOf(top);
    const one = { truth, guess, speaker, sex };
    guessed.push(one);
    const confidence = top / (scores.reduce((sum, score) => sum + score, 0) || 1);
    const bin = Math.min(BINS - 1, Math.floor(confidence * BINS));
    gap[bin] = (gap[bin] ?? 0) + confidence - (guess === truth ? 1 : 0);
    if (Math.max(...probabilities) >= abstainBelow) kept.push(one);
  }
  const confusion = confusionOf(guessed, labels.length);
  const judged = scoresOf(confusionOf(kept, labels.length));
  const speakers = [...Map.groupBy(guessed, ({ speaker }) => speaker)].map(([speaker, of]) => {
    return [speaker, { recordings: of.length, uar: scoresOf(confusionOf(of, labels.length)).uar }] as const;
  });
  const bySex = Map.groupBy(
    guessed.filter(({ sex }) => sex !== ""),
    ({ sex }) => sex,
  );
  const sexes = [...bySex].map(([sex, of]): readonly [string, Group] => [
    sex,
    {
      recordings: of.length,
      speakers: new Set(of.map(({ speaker }) => speaker)).size,
      uar: scoresOf(confusionOf(of, labels.length)).uar,
    },
  ]);
  return {
    recordings: guessed.length,
    labels,
    ...scoresOf(confusion),
    confusion,
    interval: recordingIntervals(guessed, labels.length),
    ...(speakers.length > 1 ? { speakerInterval: speakerIntervals(guessed, labels.length) } : {}),
    speakers: Object.fromEntries(speakers),
    sexes: Object.fromEntries(sexes),
    ece: gap.reduce((sum, difference) => sum + Math.abs(difference), 0) / guessed.length,
    abstention: {
      below: abstainBelow,
      coverage: kept.length / guessed.length,
      accuracy: judged.accuracy,
      uar: judged.uar,
    },
  };
}

/** Which label is guessed, among those that are shared. */
export function guessOf(
  judgement: Judgement,
  labels: readonly string[],
  modelLabels: readonly string[],
): string {
  const scores = labels.map((label) => judgement.probabilities[modelLabels.indexOf(label)] ?? 0);
  return labels[scores.indexOf(Math.max(...scores))] ?? "";
}
