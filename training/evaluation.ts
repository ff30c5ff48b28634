/** Judges a labelled folder with a model. The command line is evaluate.ts, one recording clip-judge.ts. */
import { join } from "node:path";
import { TonetapError } from "../src/core/errors.ts";
import type { ModelPackage } from "../src/inference/index.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { type ClipFeatures, clipFeatures } from "./clip-features.ts";
import { type Adaptation, ClipJudge } from "./clip-judge.ts";
import { type Line, throughLine } from "./line.ts";
import type { Manifest, ManifestRow, Problem } from "./manifest.ts";
import { type Figures, figuresOf, type Judgement } from "./metrics.ts";

export interface EvaluationOptions {
  readonly manifest: Manifest;
  /** Folder that the manifest's files are in. */
  readonly audioDir: string;
  readonly model: ModelPackage;
  /** What the audio passes before it is judged. */
  readonly line: Line;
  /** Called after each recording. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface CorpusResult {
  readonly corpus: string;
  readonly speakers: number;
  /** By what was heard of the voice before. */
  readonly figures: Readonly<Record<Adaptation, Figures>>;
}

export interface EvaluationResult {
  readonly corpora: readonly CorpusResult[];
  /** Recordings that were left out, and why. */
  readonly problems: readonly Problem[];
}

const ADAPTATIONS: readonly Adaptation[] = ["warm", "cold"];

/** The manifest's word in the model's vocabulary: calm counts as neutral where the model has no label for it. */
function labelFor(emotion: string, labels: readonly string[]): string {
  return emotion === "calm" && !labels.includes("calm") ? "neutral" : emotion;
}

/**
 * Judges every recording, speaker by speaker: of one voice the features are in memory, of the others not.
 * Recordings that cannot be used become problems; the rest goes on.
 * @throws TonetapError as InferenceBackend.load and .run.
 */
export async function evaluate(options: EvaluationOptions): Promise<EvaluationResult> {
  const { manifest, model } = options;
  const { labels } = model.manifest;
  const problems: Problem[] = [...manifest.problems];
  const judgements = new Map<string, Record<Adaptation, Judgement[]>>();
  const speakers = new Map<string, Set<string>>();
  const judge = await ClipJudge.open(model);
  let done = 0;
  try {
    for (const rows of bySpeaker(manifest.rows)) {
      const usable: ManifestRow[] = [];
      const clips: ClipFeatures[] = [];
      for (const row of rows) {
        options.onProgress?.(++done, manifest.rows.length);
        try {
          if (!labels.includes(labelFor(row.emotion, labels))) {
            throw new TonetapError("invalid-argument", `the model has no label ${row.emotion}`);
          }
          clips.push(await featuresOf(join(options.audioDir, row.file), options));
          usable.push(row);
        } catch (error) {
          problems.push({ file: row.file, reason: TonetapError.from(error).message });
        }
      }
      for (const [index, row] of usable.entries()) {
        const of = judgements.get(row.corpus) ?? { warm: [], cold: [] };
        judgements.set(row.corpus, of);
        speakers.set(row.corpus, (speakers.get(row.corpus) ?? new Set()).add(row.speaker));
        const truth = labelFor(row.emotion, labels);
        for (const adaptation of ADAPTATIONS) {
          of[adaptation].push({ truth, probabilities: await judge.judge(clips, index, adaptation) });
        }
      }
    }
  } finally {
    await judge.close();
  }
  const corpora: CorpusResult[] = [];
  for (const [corpus, of] of judgements) {
    const warm = figuresOf(of.warm, labels);
    const cold = figuresOf(of.cold, labels);
    if (warm === undefined || cold === undefined) continue;
    corpora.push({ corpus, speakers: speakers.get(corpus)?.size ?? 0, figures: { warm, cold } });
  }
  return { corpora, problems };
}

async function featuresOf(path: string, { model, line }: EvaluationOptions): Promise<ClipFeatures> {
  const heard = await throughLine(resampleTo16k(await readAudioFile(path)), line);
  const clip = clipFeatures(heard, model.manifest.features);
  if (clip.frames === 0) throw new TonetapError("media", "it is shorter than one frame");
  return clip;
}

function bySpeaker(rows: readonly ManifestRow[]): Iterable<ManifestRow[]> {
  return Map.groupBy(rows, (row) => `${row.corpus}\0${row.speaker}`).values();
}
