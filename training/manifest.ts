/** Reads manifest.csv: which sound file has whose voice and which emotion. Knows no audio. */
import { readFile } from "node:fs/promises";
import { TonetapError } from "../src/core/errors.ts";

/** Columns that a manifest must have. The others of {@link ManifestRow} may be missing. */
export const REQUIRED_COLUMNS = ["file", "speaker", "emotion"] as const;

/** Emotions that a manifest may name. */
export const KNOWN_EMOTIONS = [
  "angry",
  "disgust",
  "fear",
  "happy",
  "neutral",
  "sad",
  "surprise",
  "calm",
  "boredom",
] as const;

/** Other words that corpora and tools use for them. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  anger: "angry",
  disgusted: "disgust",
  anxiety: "fear",
  fearful: "fear",
  happiness: "happy",
  joy: "happy",
  sadness: "sad",
  surprised: "surprise",
  bored: "boredom",
};

/** One line of a manifest. */
export interface ManifestRow {
  /** Relative to the audio folder. */
  readonly file: string;
  readonly corpus: string;
  readonly speaker: string;
  readonly sex: string;
  readonly language: string;
  /** One of {@link KNOWN_EMOTIONS}. */
  readonly emotion: string;
  readonly intensity: string;
  readonly textId: string;
  /** How long the recording is said to be, if it is said. */
  readonly durationS?: number;
}

/** Something that was left out, and why. */
export interface Problem {
  readonly file: string;
  readonly reason: string;
}

export interface Manifest {
  readonly rows: readonly ManifestRow[];
  /** Lines that were left out. */
  readonly problems: readonly Problem[];
}

/** Splits CSV (RFC 4180) into records. A quoted field may hold commas, quotes doubled, and line ends. */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;
  const source = text.replace(/^\uFEFF/, "");
  let record: string[] = [];
  while (field.lastIndex < source.length) {
    const at = field.lastIndex;
    const match = field.exec(source);
    if (match === null) {
      throw new TonetapError(
        "media",
        `the CSV has a stray quote in record ${records.length + 1} (byte ${at})`,
      );
    }
    const raw = match[1] ?? "";
    record.push(raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw);
    if (match[2] !== ",") {
      if (record.length > 1 || record[0] !== "") records.push(record);
      record = [];
    }
  }
  if (record.length > 0) records.push([...record, ""]);
  return records;
}

/**
 * @param name appears in errors and, when there is no `corpus` column, as the corpus.
 * @throws TonetapError media when a required column is missing; single bad lines are problems instead.
 */
export function parseManifest(text: string, name: string): Manifest {
  const [header, ...records] = parseCsv(text);
  const missing = REQUIRED_COLUMNS.filter((column) => !header?.includes(column));
  if (header === undefined || missing.length > 0) {
    throw new TonetapError("media", `${name} lacks the column ${missing.join(", ")}`);
  }
  const rows: ManifestRow[] = [];
  const problems: Problem[] = [];
  records.forEach((record, index) => {
    const value = (column: string): string => record[header.indexOf(column)]?.trim() ?? "";
    const row: ManifestRow = {
      file: value("file"),
      corpus: value("corpus") || name,
      speaker: value("speaker"),
      sex: value("sex"),
      language: value("language"),
      emotion: emotionNamed(value("emotion")),
      intensity: value("intensity"),
      textId: value("text_id"),
      ...durationNamed(value("duration_s")),
    };
    const where = row.file === "" ? `${name}, record ${index + 2}` : row.file;
    const empty = REQUIRED_COLUMNS.find((column) => row[column] === "");
    if (empty !== undefined) {
      problems.push({ file: where, reason: `its ${empty} is empty` });
    } else if (!(KNOWN_EMOTIONS as readonly string[]).includes(row.emotion)) {
      problems.push({
        file: where,
        reason: `unknown emotion "${row.emotion}" (known: ${KNOWN_EMOTIONS.join(", ")})`,
      });
    } else {
      rows.push(row);
    }
  });
  return { rows, problems };
}

function emotionNamed(word: string): string {
  const emotion = word.toLowerCase();
  return OTHER_WORDS[emotion] ?? emotion;
}

function durationNamed(text: string): { durationS?: number } {
  const durationS = Number(text);
  return durationS > 0 && Number.isFinite(durationS) ? { durationS } : {};
}

/** The manifest that {@link parseManifest} reads `rows` from. */
export function formatManifest(rows: readonly ManifestRow[]): string {
  const quoted = (field: string): string =>
    /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
  const lines = rows.map((row) =>
    [row.file, row.corpus, row.speaker, row.sex, row.language, row.emotion, row.intensity, row.textId]
      .map(quoted)
      .join(","),
  );
  return ["file,corpus,speaker,sex,language,emotion,intensity,text_id", ...lines, ""].join("\n");
}

/** Reads one manifest file. @throws TonetapError not-found, or as {@link parseManifest}. */
export async function readManifest(path: string, name: string): Promise<Manifest> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw TonetapError.from(error, "not-found", `cannot read the manifest ${path}`);
  });
  return parseManifest(text, name);
}
