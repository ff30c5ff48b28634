/** Reads manifest.csv: which sound file has whose voice and which emotion. Knows no audio. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
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
      emotion: value("emotion").toLowerCase(),
      intensity: value("intensity"),
      textId: value("text_id"),
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

/** Reads one manifest file. @throws TonetapError not-found, or as {@link parseManifest}. */
export async function readManifest(path: string, name: string): Promise<Manifest> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw TonetapError.from(error, "not-found", `cannot read the manifest ${path}`);
  });
  return parseManifest(text, name);
}

/** Folders with a manifest.csv among `folders` and their direct subfolders, in name order. */
export async function findCorpora(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      throw TonetapError.from(error, "not-found", `cannot read the folder ${folder}`);
    });
    if (entries.some((entry) => entry.name === "manifest.csv")) {
      found.push(folder);
      continue;
    }
    for (const entry of entries.filter((e) => e.isDirectory()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inner = join(folder, entry.name);
      if ((await readdir(inner)).includes("manifest.csv")) found.push(inner);
    }
  }
  return found;
}
