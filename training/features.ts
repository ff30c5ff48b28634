/** `npm run features`: corpora in, feature files for training out. What a frame's features are is src/stream/features. */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../src/core/clock.ts";
import { TonetapError } from "../src/core/errors.ts";
import {
  assertFeatureSpec,
  DEFAULT_FEATURE_SPEC,
  type FeatureSpec,
  featureChannels,
  featureNames,
} from "../src/core/feature-spec.ts";
import type { FeatureJob, FeatureJobResult } from "./features-worker.ts";
import { findCorpora, readLabelledFolder } from "./labelled-folder.ts";
import { parseLine, splitSpeed } from "./line.ts";
import type { ManifestRow, Problem } from "./manifest.ts";
import { FeatureFileWriter } from "./safetensors.ts";
import { WorkerPool } from "./worker-pool.ts";

/**
 * All features that a model could want, of what a telephone line leaves: the 29 of the default's 40 bands that end below
 * 3.4 kHz, MFCC of what stands out of its noise, chroma without the hum that codecs take out (training/LOG.md, "What a phone
 * line changes").
 */
const FEATURES: FeatureSpec = {
  ...DEFAULT_FEATURE_SPEC,
  melBands: 29,
  melHighHz: 3_382,
  mfccTopDb: 30,
  humHz: 100,
  logMel: true,
};

const USAGE = `npm run features -- [--line clean,opus16,g711] [--out .cache/features] [--jobs 2] FOLDER…

FOLDER        a corpus (a manifest.csv, or the file names of a published corpus), or a folder of corpora
--line        what the audio passes, comma-separated: clean, g711, opusN, opusN-lossP, noiseN, gain-N; with @0.9 played slower
--out         where LINE.safetensors and LINE.json go
--mel-bands   mel bands (24–128, default ${FEATURES.melBands})
--high-hz     where they end (to 8000, default ${FEATURES.melHighHz}, as a telephone line does)
--hum-hz      below it is hum: neither chroma nor a frame's loudest band (0–1000, default ${FEATURES.humHz})
--mfcc-top-db in MFCC a band counts as at least this below its frame's loudest (1–200, default ${FEATURES.mfccTopDb})
--jobs        threads`;

/** Clips of this corpus that are shorter than 2 s are filled up with zeros. */
const ZERO_PADDED_CORPUS = "emodb_first2s";

interface Entry {
  readonly path: string;
  readonly row: ManifestRow;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      line: { type: "string", default: "clean" },
      out: { type: "string", default: join(".cache", "features") },
      "mel-bands": { type: "string", default: String(FEATURES.melBands) },
      "high-hz": { type: "string", default: String(FEATURES.melHighHz) },
      "hum-hz": { type: "string", default: String(FEATURES.humHz) },
      "mfcc-top-db": { type: "string", default: String(FEATURES.mfccTopDb) },
      jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || positionals.length === 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const lines = values.line.split(",");
  for (const name of lines) parseLine(splitSpeed(name).line);
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64) {
    throw new TonetapError("invalid-argument", `jobs must be 1–64, got ${values.jobs}`);
  }

  const spec: FeatureSpec = {
    ...FEATURES,
    melBands: Number(values["mel-bands"]),
    melHighHz: Number(values["high-hz"]),
    humHz: Number(values["hum-hz"]),
    mfccTopDb: Number(values["mfcc-top-db"]),
  };
  assertFeatureSpec(spec);

  const problems: Problem[] = [];
  const entries: Entry[] = [];
  for (const folder of await findCorpora(positionals)) {
    try {
      const labelled = await readLabelledFolder(folder);
      problems.push(...labelled.problems);
      for (const row of labelled.rows) entries.push({ path: join(folder, row.file), row });
    } catch (error) {
      problems.push({ file: folder, reason: TonetapError.from(error).message });
    }
  }
  await mkdir(values.out, { recursive: true });
  await extract(entries, lines, spec, values.out, jobs, problems);
  for (const { file, reason } of problems) console.error(`left out: ${file}: ${reason}`);
  console.log(`${problems.length} left out`);
  return problems.length === 0 ? 0 : 1;
}

async function extract(
  entries: readonly Entry[],
  lines: readonly string[],
  spec: FeatureSpec,
  out: string,
  jobs: number,
  problems: Problem[],
): Promise<void> {
  const started = systemClock.now();
  const writers = await Promise.all(
    lines.map((line) => FeatureFileWriter.create(join(out, `${line}.safetensors`), featureChannels(spec))),
  );
  const clips: Record<string, unknown>[][] = lines.map(() => []);
  const pool = new WorkerPool<FeatureJob, FeatureJobResult>(
    new URL("./features-worker.ts", import.meta.url),
    Math.min(jobs, Math.max(1, entries.length)),
  );
  const work = entries.map(({ path, row }, id) => {
    return { id, path, trimZeros: row.corpus === ZERO_PADDED_CORPUS, lines, spec };
  });
  let done = 0;
  try {
    // Results are written in the order of the corpora's rows: same corpora, same files.
    for await (const result of pool.run(work)) {
      const entry = entries[result.id];
      const outputs = "outputs" in result ? result.outputs : undefined;
      done++;
      if (entry === undefined) continue;
      if (outputs === undefined) problems.push({ file: entry.path, reason: result.reason ?? "unknown" });
      for (const [i, { features, speech }] of (outputs ?? []).entries()) {
        const writer = writers[i];
        clips[i]?.push({ ...entry.row, offset: writer?.frames ?? 0, frames: speech.length });
        await writer?.append(features, speech);
      }
      if (done % 500 === 0 || done === entries.length) {
        const seconds = (systemClock.now() - started) / 1000;
        console.log(`${done} of ${entries.length} files, ${seconds.toFixed(0)} s`);
      }
    }
  } finally {
    await pool.close();
  }
  for (const [i, line] of lines.entries()) {
    await writers[i]?.close();
    const index = { line, features: spec, channels: featureNames(spec), clips: clips[i] };
    await writeFile(join(out, `${line}.json`), `${JSON.stringify(index)}\n`);
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(TonetapError.from(error).message);
  return 2;
});
