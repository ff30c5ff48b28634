/** `npm run features`: corpora in, feature files for training out. What a frame's features are is src/stream/features. */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { systemClock } from "../src/core/clock.ts";
import { TonetapError } from "../src/core/errors.ts";
import {
  DEFAULT_FEATURE_SPEC,
  type FeatureSpec,
  featureChannels,
  featureNames,
} from "../src/core/feature-spec.ts";
import type { FeatureJob, FeatureJobResult } from "./features-worker.ts";
import { parseLine, splitSpeed } from "./line.ts";
import { findCorpora, type ManifestRow, type Problem, readManifest } from "./manifest.ts";
import { FeatureFileWriter } from "./safetensors.ts";

const USAGE = `npm run features -- [--line clean,opus16,g711] [--out .cache/features] [--jobs 2] FOLDER…

FOLDER     a corpus (has a manifest.csv), or a folder of corpora
--line     what the audio passes, comma-separated: clean, g711, opusN, opusN-lossP; with @0.9 played slower
--out      where LINE.safetensors and LINE.json go
--jobs     threads`;

/** All features that a model could want; training picks channels by name. */
const SPEC: FeatureSpec = { ...DEFAULT_FEATURE_SPEC, logMel: true };
/** Clips of this corpus that are shorter than 2 s are filled up with zeros. */
const ZERO_PADDED_CORPUS = "emodb_first2s";
/** Files in the making or waiting for an earlier one, for each thread. */
const AHEAD = 4;

interface Entry {
  readonly path: string;
  readonly row: ManifestRow;
}

/** A thread that answers one job at a time per message, several in flight. */
class FeatureThread {
  readonly #worker = new Worker(new URL("./features-worker.ts", import.meta.url));
  readonly #waiting = new Map<number, (result: FeatureJobResult) => void>();

  constructor() {
    this.#worker.on("message", (result: FeatureJobResult) => {
      this.#waiting.get(result.id)?.(result);
      this.#waiting.delete(result.id);
    });
    this.#worker.on("error", (error) => {
      for (const [id, resolve] of this.#waiting) resolve({ id, reason: TonetapError.from(error).message });
      this.#waiting.clear();
    });
  }

  run(job: FeatureJob): Promise<FeatureJobResult> {
    return new Promise((resolve) => {
      this.#waiting.set(job.id, resolve);
      this.#worker.postMessage(job);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      line: { type: "string", default: "clean" },
      out: { type: "string", default: join(".cache", "features") },
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

  const problems: Problem[] = [];
  const entries: Entry[] = [];
  for (const folder of await findCorpora(positionals)) {
    try {
      const manifest = await readManifest(join(folder, "manifest.csv"), basename(folder));
      problems.push(...manifest.problems);
      for (const row of manifest.rows) entries.push({ path: join(folder, row.file), row });
    } catch (error) {
      problems.push({ file: join(folder, "manifest.csv"), reason: TonetapError.from(error).message });
    }
  }
  await mkdir(values.out, { recursive: true });
  await extract(entries, lines, values.out, jobs, problems);
  for (const { file, reason } of problems) console.error(`left out: ${file}: ${reason}`);
  console.log(`${problems.length} left out`);
  return problems.length === 0 ? 0 : 1;
}

async function extract(
  entries: readonly Entry[],
  lines: readonly string[],
  out: string,
  jobs: number,
  problems: Problem[],
): Promise<void> {
  const started = systemClock.now();
  const writers = await Promise.all(
    lines.map((line) => FeatureFileWriter.create(join(out, `${line}.safetensors`), featureChannels(SPEC))),
  );
  const clips: Record<string, unknown>[][] = lines.map(() => []);
  const threads = Array.from(
    { length: Math.min(jobs, Math.max(1, entries.length)) },
    () => new FeatureThread(),
  );
  const inFlight: Promise<FeatureJobResult>[] = [];
  let sent = 0;
  let done = 0;
  const send = (): void => {
    const entry = entries[sent];
    const thread = threads[sent % threads.length];
    if (entry === undefined || thread === undefined) return;
    const trimZeros = entry.row.corpus === ZERO_PADDED_CORPUS;
    inFlight.push(thread.run({ id: sent, path: entry.path, trimZeros, lines, spec: SPEC }));
    sent++;
  };
  while (sent < Math.min(entries.length, AHEAD * threads.length)) send();
  // Results are written in the order of the manifests, whichever thread is faster: same corpora, same files.
  for (let next = inFlight.shift(); next !== undefined; next = inFlight.shift()) {
    const { outputs, reason } = await next;
    const entry = entries[done++];
    send();
    if (entry === undefined) continue;
    if (outputs === undefined) problems.push({ file: entry.path, reason: reason ?? "unknown" });
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
  await Promise.all(threads.map((thread) => thread.close()));
  for (const [i, line] of lines.entries()) {
    await writers[i]?.close();
    const index = { line, features: SPEC, channels: featureNames(SPEC), clips: clips[i] };
    await writeFile(join(out, `${line}.json`), `${JSON.stringify(index)}\n`);
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(TonetapError.from(error).message);
  return 2;
});
