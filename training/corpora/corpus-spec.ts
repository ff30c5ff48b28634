/** What a published corpus says of itself: its file naming and its official numbers. Reading folders is labelled-folder.ts. */

/** What a file's name and folder say of it. */
export interface NamedClip {
  /** The recording, however its file is called here: two files with one key are copies of one recording. */
  readonly key: string;
  readonly speaker: string;
  /** `female`, `male`, or empty where the name does not tell. */
  readonly sex: string;
  /** One of KNOWN_EMOTIONS. */
  readonly emotion: string;
  /** Empty where the corpus has no levels. */
  readonly intensity: string;
  readonly textId: string;
}

/** A name of the corpus, but no recording of one speaker's speech: why it is left out. */
export interface UnusableClip {
  readonly unusable: string;
}

export interface CorpusSpec {
  /** As in the `corpus` column of a manifest. */
  readonly name: string;
  readonly title: string;
  /** ISO 639-1. */
  readonly language: string;
  /** Where a user gets it. */
  readonly source: string;
  /** All speakers, in order. */
  readonly speakers: readonly string[];
  /** Official number of recordings of each emotion; their sum is the corpus. */
  readonly emotions: Readonly<Record<string, number>>;
  /**
   * @param path relative to the corpus's folder, with `/`; the ending does not matter.
   * @returns undefined when the name is not of this corpus.
   */
  parse(path: string): NamedClip | UnusableClip | undefined;
  /** Keys of all recordings, where the naming is complete enough to list them; `present` are those at hand. */
  expected?(present: ReadonlySet<string>): string[];
}

/** Number of recordings in the official corpus. */
export const officialFiles = (spec: CorpusSpec): number =>
  Object.values(spec.emotions).reduce((sum, count) => sum + count, 0);

/** The last `depth` parts of a path without its ending: `a/f1/dis-f1-b1.wav`, 2 → `f1/dis-f1-b1`. */
export function stemOf(path: string, depth = 1): string {
  return path
    .replace(/\.[^./]*$/, "")
    .split("/")
    .slice(-depth)
    .join("/");
}

/** `1`, 3 → `01`, `02`, `03`. */
export const numbered = (first: number, last: number, digits = 2): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i).padStart(digits, "0"));
