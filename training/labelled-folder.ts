/**
 * A folder of labelled recordings: by its manifest.csv, or else by the file names of a published corpus (corpora/).
 * Opens no sound file.
 */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { TonetapError } from "../src/core/errors.ts";
import { type CorpusSpec, detectCorpus, PUBLISHED_CORPORA } from "./corpora/index.ts";
import { type ManifestRow, type Problem, readManifest } from "./manifest.ts";

const MANIFEST = "manifest.csv";
const SOUND_FILE = /\.(wav|flac|opus|ogg|oga|mp3|aiff?)$/i;
/** Sound files of one folder; above it somebody named the root of a disk. */
const MAX_FILES = 1_000_000;

export interface LabelledFolder {
  readonly folder: string;
  /** Of the manifest's `corpus` column when all its rows agree, else the published corpus, else the folder's name. */
  readonly corpus: string;
  readonly labelledBy: "manifest" | "names";
  /** What the file names say it is, whatever labels it. */
  readonly spec: CorpusSpec | undefined;
  /** Labelled recordings; `file` is relative to the folder. */
  readonly rows: readonly ManifestRow[];
  /** Lines or files that were left out, and why. */
  readonly problems: readonly Problem[];
  /** Every sound file under it, relative and with `/`, in name order. */
  readonly soundFiles: readonly string[];
}

/**
 * @throws TonetapError not-found when there is no such folder, no sound in it, or neither a manifest nor a naming that is
 * known; as readManifest for a manifest that cannot be used.
 */
export async function readLabelledFolder(folder: string): Promise<LabelledFolder> {
  const { soundFiles, hasManifest } = await listFolder(folder);
  const spec = detectCorpus(soundFiles);
  if (hasManifest) {
    const manifest = await readManifest(join(folder, MANIFEST), basename(folder));
    const named = new Set(manifest.rows.map((row) => row.corpus));
    const [only] = named;
    const corpus = named.size === 1 && only !== undefined ? only : basename(folder);
    return { folder, corpus, labelledBy: "manifest", spec, ...manifest, soundFiles };
  }
  if (soundFiles.length === 0) {
    throw new TonetapError("not-found", `${folder} has no ${MANIFEST} and no sound files`);
  }
  if (spec === undefined) {
    const known = PUBLISHED_CORPORA.map(({ title }) => title).join(", ");
    throw new TonetapError(
      "not-found",
      `${folder} has ${soundFiles.length} sound files but no ${MANIFEST}, and their names are not those of ${known}`,
    );
  }
  return {
    folder,
    corpus: spec.name,
    labelledBy: "names",
    spec,
    ...rowsByName(spec, soundFiles),
    soundFiles,
  };
}

/** One row a recording; of several files with one recording the first counts. */
function rowsByName(
  spec: CorpusSpec,
  soundFiles: readonly string[],
): { readonly rows: readonly ManifestRow[]; readonly problems: readonly Problem[] } {
  const rows: ManifestRow[] = [];
  const problems: Problem[] = [];
  const fileOf = new Map<string, string>();
  for (const file of soundFiles) {
    const clip = spec.parse(file);
    if (clip === undefined) {
      problems.push({ file, reason: `its name is not one of ${spec.title}` });
    } else if ("unusable" in clip) {
      problems.push({ file, reason: clip.unusable });
    } else {
      const { key, ...labels } = clip;
      const first = fileOf.get(key);
      if (first !== undefined)
        problems.push({ file, reason: `it is the recording ${first} again, by its name` });
      else rows.push({ file, corpus: spec.name, language: spec.language, ...labels });
      fileOf.set(key, first ?? file);
    }
  }
  return { rows, problems };
}

/**
 * The corpora among `folders`: a folder with a manifest or with one corpus' names is one itself; of another the direct
 * subfolders are looked at. A folder in which nothing is found stays in the list: reading it says what is wrong.
 * @throws TonetapError not-found when a folder cannot be read.
 */
export async function findCorpora(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    const entries = await readFolder(folder);
    if (entries.some((entry) => entry.name === MANIFEST)) {
      found.push(folder);
      continue;
    }
    const inner: string[] = [];
    let withManifest = 0;
    for (const entry of entries.filter(({ name }) => !name.startsWith(".")).sort(byName)) {
      if (!(await isFolder(folder, entry))) continue;
      const { soundFiles, hasManifest } = await listFolder(join(folder, entry.name));
      withManifest += hasManifest ? 1 : 0;
      // Sound without labels is somebody's mistake: reading it says so.
      if (hasManifest || soundFiles.length > 0) inner.push(join(folder, entry.name));
    }
    // Actor_01 … Actor_24 are one corpus; ravdess, savee and tess side by side are three.
    const whole = withManifest > 0 ? undefined : await wholeCorpus(folder, inner);
    found.push(...(whole !== undefined || inner.length === 0 ? [folder] : inner));
  }
  return found;
}

/** The one corpus that a folder and all its subfolders with sound are of. */
async function wholeCorpus(folder: string, inner: readonly string[]): Promise<CorpusSpec | undefined> {
  const whole = detectCorpus((await listFolder(folder)).soundFiles);
  if (whole === undefined) return undefined;
  for (const subfolder of inner) {
    // With the subfolder's name, by which SAVEE's speakers are told.
    const { soundFiles } = await listFolder(subfolder);
    const other = detectCorpus(soundFiles.map((file) => `${basename(subfolder)}/${file}`));
    if (other !== undefined && other !== whole) return undefined;
  }
  return whole;
}

async function listFolder(folder: string): Promise<{ soundFiles: string[]; hasManifest: boolean }> {
  const entries = await readFolder(folder, true);
  const files = entries
    // A link may lead to a file; one that leads nowhere is found out when it is read.
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep));
  // Archives made on a Mac hold a ._03-01-….wav beside each 03-01-….wav; it is no sound.
  const shown = files.filter((parts) => parts.every((part) => !part.startsWith(".")));
  const soundFiles = shown
    .map((parts) => parts.join("/"))
    .filter((file) => SOUND_FILE.test(file))
    .sort();
  if (soundFiles.length > MAX_FILES) {
    throw new TonetapError(
      "overloaded",
      `${folder} has ${soundFiles.length} sound files; ${MAX_FILES} is the limit`,
      { retryable: false },
    );
  }
  return { soundFiles, hasManifest: shown.some((parts) => parts.length === 1 && parts[0] === MANIFEST) };
}

function readFolder(folder: string, recursive = false): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true, recursive }).catch((error: unknown) => {
    throw TonetapError.from(error, "not-found", `cannot read the folder ${folder}`);
  });
}

async function isFolder(parent: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await stat(join(parent, entry.name)).catch(() => undefined);
  return target?.isDirectory() ?? false;
}

const byName = (a: Dirent, b: Dirent): number => (a.name < b.name ? -1 : 1);
