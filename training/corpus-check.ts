/**
 * Judges one labelled folder: how much of the corpus is there, and which recordings are not what they should be.
 * Measuring is corpus-worker.ts, printing corpus-report.ts.
 */
import { join } from "node:path";
import type { AudioFacts } from "./audio-facts.ts";
import { officialFiles } from "./corpora/index.ts";
import type { CorpusAnswer, CorpusJob } from "./corpus-worker.ts";
import { joined, LEAST_CORRELATION, likelyPairs, MAX_PAIRS, sameSamples } from "./duplicates.ts";
import type { LabelledFolder } from "./labelled-folder.ts";
import type { ManifestRow, Problem } from "./manifest.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** A number of the corpus beside the official one, where there is one. */
export interface Tally {
  readonly found: number;
  readonly official?: number;
}

/** What is wrong with the sound of a recording. */
export const FAULTS = {
  unreadable: "cannot be decoded",
  cut: "shorter than the manifest says, or cut at a length that many files share",
  abrupt: "begins or ends in the middle of a sound",
  silent: "nothing louder than -60 dB",
  clipped: "10 samples or more at full scale",
  zeroPadded: "0.1 s or more of digital silence at an end",
  short: "less than 0.3 s",
} as const;
export type Fault = keyof typeof FAULTS;

export interface Finding {
  readonly file: string;
  readonly fault: Fault;
  readonly detail: string;
}

export interface DuplicateGroup {
  /** In name order of the folder. */
  readonly files: readonly string[];
  /** All have the same samples. Otherwise some differ in level, offset or codec only. */
  readonly exact: boolean;
  /** The weakest correlation of waveforms that joined them; 1 for the same samples. */
  readonly correlation: number;
  /** The copies do not carry one label. */
  readonly labelsDiffer: boolean;
}

export interface CorpusCheck {
  readonly folder: string;
  readonly corpus: string;
  /** Title of the published corpus whose names these are. */
  readonly published: string | undefined;
  readonly labelledBy: "manifest" | "names";
  readonly files: Tally;
  readonly speakers: Tally;
  readonly emotions: Readonly<Record<string, Tally>>;
  readonly durationS: { readonly total: number; readonly shortest: number; readonly longest: number };
  readonly sampleRatesHz: readonly number[];
  /** Official recordings that are not here. Undefined where the naming does not tell which there are. */
  readonly missing: readonly string[] | undefined;
  readonly findings: readonly Finding[];
  readonly duplicates: readonly DuplicateGroup[];
  /** Pairs that look alike and were not compared, for there were too many. */
  readonly pairsNotCompared: number;
  /** Files and lines that were left out, sound files without a label, and labels that names contradict. */
  readonly problems: readonly Problem[];
}

const SILENT_DB = -60;
const LEAST_CLIPPED = 10;
const LEAST_ZEROS_S = 0.1;
const LEAST_DURATION_S = 0.3;
/** A recording may be so much shorter than its manifest says, s: codecs pad and trim. */
const DURATION_SLACK_S = 0.05;
/** Sound that is hardly softer than the loud tenth of the recording was not finished, dB. */
const ABRUPT_DB = 6;
/** This many files, and this share of all, that have the longest length exactly were cut at it. */
const CUT_FILES = 10;
const CUT_SHARE = 0.05;
/** Every recording is compared with every other: above this many that takes minutes. */
const MAX_COMPARED = 20_000;

export type CorpusPool = WorkerPool<CorpusJob, CorpusAnswer>;

/** @param onProgress called after each recording. */
export async function checkCorpus(
  labelled: LabelledFolder,
  pool: CorpusPool,
  onProgress?: (done: number, total: number) => void,
): Promise<CorpusCheck> {
  const { rows, spec } = labelled;
  const { facts, unreadable } = await measure(labelled, pool, onProgress);
  const measured = facts.filter((f) => f !== undefined);
  const { duplicates, pairsNotCompared } = await findDuplicates(labelled, facts, pool);
  const counts = Map.groupBy(rows, (row) => row.emotion);
  const emotions: Record<string, Tally> = {};
  for (const emotion of new Set([...Object.keys(spec?.emotions ?? {}), ...counts.keys()])) {
    emotions[emotion] = tally(counts.get(emotion)?.length ?? 0, spec?.emotions[emotion] ?? (spec && 0));
  }
  const durations = measured.map((f) => f.durationS);
  return {
    folder: labelled.folder,
    corpus: labelled.corpus,
    published: spec?.title,
    labelledBy: labelled.labelledBy,
    files: tally(rows.length, spec && officialFiles(spec)),
    speakers: tally(new Set(rows.map((row) => row.speaker)).size, spec?.speakers.length),
    emotions,
    durationS: {
      total: durations.reduce((sum, seconds) => sum + seconds, 0),
      shortest: durations.reduce((a, b) => Math.min(a, b), durations[0] ?? 0),
      longest: durations.reduce((a, b) => Math.max(a, b), 0),
    },
    sampleRatesHz: [...new Set(measured.map((f) => f.sampleRateHz))].sort((a, b) => a - b),
    missing: missingFiles(labelled),
    findings: [...unreadable, ...soundFaults(rows, facts)],
    duplicates,
    pairsNotCompared,
    problems: [...labelled.problems, ...unlabelled(labelled), ...contradictions(labelled)],
  };
}

/** Whether nothing at all was found wrong. */
export function isClean(check: CorpusCheck): boolean {
  const tallies = [check.files, check.speakers, ...Object.values(check.emotions)];
  return (
    tallies.every(({ found, official }) => official === undefined || found === official) &&
    [check.missing ?? [], check.findings, check.duplicates, check.problems].every((list) => list.length === 0)
  );
}

const tally = (found: number, official: number | undefined): Tally =>
  official === undefined ? { found } : { found, official };

async function measure(
  { folder, rows }: LabelledFolder,
  pool: CorpusPool,
  onProgress?: (done: number, total: number) => void,
): Promise<{ facts: (AudioFacts | undefined)[]; unreadable: Finding[] }> {
  const facts: (AudioFacts | undefined)[] = [];
  const unreadable: Finding[] = [];
  const jobs = rows.map((row, id) => ({ id, kind: "measure", path: join(folder, row.file) }) as const);
  for await (const answer of pool.run(jobs)) {
    const file = rows[answer.id]?.file ?? "";
    const known = "facts" in answer ? answer.facts : undefined;
    facts.push(known);
    if (known === undefined)
      unreadable.push({ file, fault: "unreadable", detail: answer.reason ?? "no answer" });
    onProgress?.(facts.length, rows.length);
  }
  return { facts, unreadable };
}

function soundFaults(rows: readonly ManifestRow[], facts: readonly (AudioFacts | undefined)[]): Finding[] {
  const cutAtS = sharedLongest(facts);
  const findings: Finding[] = [];
  rows.forEach((row, i) => {
    const known = facts[i];
    if (known === undefined) return;
    const { file } = row;
    const find = (fault: Fault, detail: string): number => findings.push({ file, fault, detail });
    const seconds = (value: number): string => `${value.toFixed(2)} s`;
    if (row.durationS !== undefined && known.durationS < row.durationS - DURATION_SLACK_S) {
      find("cut", `${seconds(known.durationS)} of ${seconds(row.durationS)}`);
    } else if (known.durationS === cutAtS) {
      find("cut", `exactly ${seconds(cutAtS)}, as others are`);
    }
    if (known.durationS < LEAST_DURATION_S) find("short", seconds(known.durationS));
    if (known.loudestDb < SILENT_DB) {
      find("silent", `loudest 20 ms: ${known.loudestDb.toFixed(0)} dB`);
      return;
    }
    if (known.startDb < ABRUPT_DB)
      find("abrupt", `begins ${known.startDb.toFixed(0)} dB below its loud parts`);
    if (known.endDb < ABRUPT_DB) find("abrupt", `ends ${known.endDb.toFixed(0)} dB below its loud parts`);
    if (known.clippedSamples >= LEAST_CLIPPED) find("clipped", `${known.clippedSamples} samples`);
    if (Math.max(known.zerosBeforeS, known.zerosAfterS) >= LEAST_ZEROS_S) {
      find("zeroPadded", `${seconds(known.zerosBeforeS)} before, ${seconds(known.zerosAfterS)} after`);
    }
  });
  return findings;
}

/** The longest length, when so many recordings have exactly this one that somebody cut them. */
function sharedLongest(facts: readonly (AudioFacts | undefined)[]): number | undefined {
  const durations = facts.flatMap((known) => (known === undefined ? [] : [known.durationS]));
  const longest = durations.reduce((a, b) => Math.max(a, b), 0);
  const shared = durations.filter((duration) => duration === longest).length;
  return shared >= CUT_FILES && shared >= CUT_SHARE * durations.length ? longest : undefined;
}

async function findDuplicates(
  { folder, rows }: LabelledFolder,
  facts: readonly (AudioFacts | undefined)[],
  pool: CorpusPool,
): Promise<{ duplicates: DuplicateGroup[]; pairsNotCompared: number }> {
  // Silence is like silence: that is a finding of its own.
  const heard = facts.map((known) =>
    known !== undefined && known.loudestDb >= SILENT_DB ? known : undefined,
  );
  const same = sameSamples(heard);
  const links = same.flatMap(([first = 0, ...others]) =>
    others.map((b) => ({ a: first, b, correlation: 1 })),
  );
  let pairsNotCompared = 0;
  if (rows.length > MAX_COMPARED) {
    pairsNotCompared = (rows.length * (rows.length - 1)) / 2;
  } else {
    const groupOf = new Map(same.flatMap((members, g) => members.map((i) => [i, g] as const)));
    const pairs = likelyPairs(heard, (a, b) => groupOf.has(a) && groupOf.get(a) === groupOf.get(b));
    pairsNotCompared = Math.max(0, pairs.length - MAX_PAIRS);
    const jobs = pairs.slice(0, MAX_PAIRS).map(({ a, b }, id) => {
      const [path, other] = [join(folder, rows[a]?.file ?? ""), join(folder, rows[b]?.file ?? "")];
      return { id, kind: "compare", path, other } as const;
    });
    for await (const answer of pool.run(jobs)) {
      const pair = pairs[answer.id];
      const correlation = "correlation" in answer ? (answer.correlation ?? 0) : 0;
      if (pair !== undefined && correlation >= LEAST_CORRELATION) links.push({ ...pair, correlation });
    }
  }
  const duplicates = joined(links).map(({ members, correlation }) => ({
    files: members.map((i) => rows[i]?.file ?? ""),
    exact: new Set(members.map((i) => facts[i]?.digest)).size === 1,
    correlation,
    labelsDiffer: new Set(members.map((i) => `${rows[i]?.speaker}\0${rows[i]?.emotion}`)).size > 1,
  }));
  return { duplicates, pairsNotCompared };
}

function missingFiles({ spec, rows }: LabelledFolder): string[] | undefined {
  if (spec?.expected === undefined) return undefined;
  const present = new Set<string>();
  for (const { file } of rows) {
    const clip = spec.parse(file);
    if (clip !== undefined && "key" in clip) present.add(clip.key);
  }
  return spec.expected(present).filter((key) => !present.has(key));
}

/** Sound files that the manifest does not mention. */
function unlabelled({ labelledBy, rows, soundFiles, problems }: LabelledFolder): Problem[] {
  if (labelledBy === "names") return [];
  const mentioned = new Set([...rows, ...problems].map(({ file }) => file));
  return soundFiles
    .filter((file) => !mentioned.has(file))
    .map((file) => ({ file, reason: "the manifest does not mention it" }));
}

/** Rows whose manifest says another emotion or speaker than the corpus's own file name. */
function contradictions({ labelledBy, spec, rows }: LabelledFolder): Problem[] {
  if (labelledBy === "names" || spec === undefined) return [];
  return rows.flatMap(({ file, emotion, speaker }) => {
    const clip = spec.parse(file);
    if (clip === undefined || "unusable" in clip) return [];
    if (clip.emotion !== emotion) {
      return [{ file, reason: `the manifest says ${emotion}, its ${spec.title} name ${clip.emotion}` }];
    }
    if (clip.speaker !== speaker) {
      return [
        { file, reason: `the manifest says speaker ${speaker}, its ${spec.title} name ${clip.speaker}` },
      ];
    }
    return [];
  });
}
