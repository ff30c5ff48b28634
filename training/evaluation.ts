/** Judges labelled recordings with a model. The command line is evaluate.ts, one recording clip-judge.ts. */
import { join } from "node:path";
import { TonetapError } from "../src/core/errors.ts";
import type { ModelPackage } from "../src/inference/index.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { type ClipFeatures, clipFeatures } from "./clip-features.ts";
import { type Adaptation, ClipJudge } from "./clip-judge.ts";
import { parseLine, throughLine } from "./line.ts";
import type { Manifest, ManifestRow, Problem } from "./manifest.ts";
import { type Figures, figuresOf, guessOf, type Judgement, sharedLabels } from "./metrics.ts";

export interface EvaluationOptions {
  readonly manifest: Manifest;
  /** Folder that the manifest's files are in. */
  readonly audioDir: string;
  readonly model: ModelPackage;
  /** What the audio passes before it is judged, as {@link parseLine} names it; each is judged. At least one. */
  readonly lines: readonly string[];
  /** Called after each recording. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What the same recordings give through one line. */
export interface LineResult {
  readonly line: string;
  readonly figures: Readonly<Record<Adaptation, Figures>>;
  /** Share of recordings that are judged as through the first line. */
  readonly unchanged: Readonly<Record<Adaptation, number>>;
}

export interface CorpusResult {
  readonly corpus: string;
  readonly speakers: number;
  /** Through the first line, by what was heard of the voice before. */
  readonly figures: Readonly<Record<Adaptation, Figures>>;
  /** Through each line, the first among them. */
  readonly lines: readonly LineResult[];
  /** How many recordings' emotion, by its name in the manifest, counts as which label of the model. */
  readonly countedAs: Readonly<Record<string, { readonly label: string; readonly recordings: number }>>;
  /** Recordings whose emotion the model has no label for, by emotion. */
  readonly withoutLabel: Readonly<Record<string, number>>;
}

export interface EvaluationResult {
  readonly corpora: readonly CorpusResult[];
  /** Recordings that could not be used, and why. */
  readonly problems: readonly Problem[];
}

const ADAPTATIONS: readonly Adaptation[] = ["warm", "cold"];

/** Everything of one corpus until its figures are known. */
class CorpusTally {
  readonly speakers = new Set<string>();
  readonly countedAs: Record<string, { label: string; recordings: number }> = {};
  readonly withoutLabel: Record<string, number> = {};
  /** By line, then by adaptation. */
  readonly judgements: Record<Adaptation, Judgement[]>[];

  constructor(lines: number) {
    this.judgements = Array.from({ length: lines }, () => ({ warm: [], cold: [] }));
  }

  result(corpus: string, { model, lines }: EvaluationOptions): CorpusResult | undefined {
    const { labels: modelLabels, abstainBelow } = model.manifest;
    const reference = this.judgements[0];
    const shared = sharedLabels(reference?.warm ?? [], modelLabels);
    const guesses = (judgements: readonly Judgement[]): string[] =>
      judgements.map((judgement) => guessOf(judgement, shared, modelLabels));
    const results = this.judgements.flatMap(({ warm, cold }, i): LineResult[] => {
      const figures = {
        warm: figuresOf(warm, modelLabels, abstainBelow),
        cold: figuresOf(cold, modelLabels, abstainBelow),
      };
      const line = lines[i];
      if (figures.warm === undefined || figures.cold === undefined || line === undefined) return [];
      const unchanged = {
        warm: shareEqual(guesses(warm), guesses(reference?.warm ?? [])),
        cold: shareEqual(guesses(cold), guesses(reference?.cold ?? [])),
      };
      return [{ line, figures: { warm: figures.warm, cold: figures.cold }, unchanged }];
    });
    const [first] = results;
    if (first === undefined) return undefined;
    const { countedAs, withoutLabel } = this;
    const speakers = this.speakers.size;
    return { corpus, speakers, figures: first.figures, lines: results, countedAs, withoutLabel };
  }
}

/** The manifest's word in the model's vocabulary: calm counts as neutral where the model has no label for it. */
function labelFor(emotion: string, labels: readonly string[]): string | undefined {
  if (labels.includes(emotion)) return emotion;
  return emotion === "calm" && labels.includes("neutral") ? "neutral" : undefined;
}

/**
 * Judges every recording, speaker by speaker: of one voice the features are in memory, of the others not.
 * Recordings that cannot be used become problems; the rest goes on.
 * @throws TonetapError invalid-argument as {@link parseLine}; as InferenceBackend.load and .run.
 */
export async function evaluate(options: EvaluationOptions): Promise<EvaluationResult> {
  const { manifest, model, lines } = options;
  const { labels } = model.manifest;
  const problems: Problem[] = [...manifest.problems];
  const tallies = new Map<string, CorpusTally>();
  const judge = await ClipJudge.open(model);
  let done = 0;
  try {
    for (const rows of bySpeaker(manifest.rows)) {
      const usable: { readonly row: ManifestRow; readonly truth: string }[] = [];
      /** By line. */
      const clips: ClipFeatures[][] = lines.map(() => []);
      for (const row of rows) {
        const tally = tallies.get(row.corpus) ?? new CorpusTally(lines.length);
        tallies.set(row.corpus, tally);
        const truth = labelFor(row.emotion, labels);
        if (truth === undefined) {
          tally.withoutLabel[row.emotion] = (tally.withoutLabel[row.emotion] ?? 0) + 1;
        } else {
          try {
            const features = await featuresOf(join(options.audioDir, row.file), options);
            features.forEach((clip, i) => {
              clips[i]?.push(clip);
            });
            usable.push({ row, truth });
          } catch (error) {
            problems.push({ file: row.file, reason: TonetapError.from(error).message });
          }
        }
        options.onProgress?.(++done, manifest.rows.length);
      }
      for (const [index, { row, truth }] of usable.entries()) {
        const tally = tallies.get(row.corpus);
        if (tally === undefined) continue;
        tally.speakers.add(row.speaker);
        if (truth !== row.emotion) {
          const before = tally.countedAs[row.emotion]?.recordings ?? 0;
          tally.countedAs[row.emotion] = { label: truth, recordings: before + 1 };
        }
        for (const [i, ofLine] of clips.entries()) {
          for (const adaptation of ADAPTATIONS) {
            const probabilities = await judge.judge(ofLine, index, adaptation);
            tally.judgements[i]?.[adaptation].push({
              truth,
              speaker: row.speaker,
              sex: row.sex,
              probabilities,
            });
          }
        }
      }
    }
  } finally {
    await judge.close();
  }
  const corpora = [...tallies].flatMap(([corpus, tally]) => tally.result(corpus, options) ?? []);
  return { corpora, problems };
}

/** One entry a line. */
async function featuresOf(path: string, { model, lines }: EvaluationOptions): Promise<ClipFeatures[]> {
  const samples = resampleTo16k(await readAudioFile(path));
  const clips: ClipFeatures[] = [];
  for (const line of lines) {
    const clip = clipFeatures(await throughLine(samples, parseLine(line)), model.manifest.features);
    if (clip.frames === 0) throw new TonetapError("media", "it is shorter than one frame");
    clips.push(clip);
  }
  return clips;
}

function bySpeaker(rows: readonly ManifestRow[]): Iterable<ManifestRow[]> {
  return Map.groupBy(rows, (row) => `${row.corpus}\0${row.speaker}`).values();
}

function shareEqual(a: readonly string[], b: readonly string[]): number {
  return a.filter((guess, i) => guess === b[i]).length / Math.max(1, a.length);
}
