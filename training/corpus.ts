/** `npm run corpus`: what a folder of labelled recordings holds, and what is wrong with it. Checking is corpus-check.ts. */
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../src/core/clock.ts";
import { TonetapError } from "../src/core/errors.ts";
import { PUBLISHED_CORPORA } from "./corpora/index.ts";
import { type CorpusCheck, type CorpusPool, checkCorpus, isClean } from "./corpus-check.ts";
import { corpusReport } from "./corpus-report.ts";
import { findCorpora, readLabelledFolder } from "./labelled-folder.ts";
import { formatManifest, type Problem } from "./manifest.ts";
import { WorkerPool } from "./worker-pool.ts";

const USAGE = `npm run corpus -- check [--json] [--jobs 2] FOLDER…   what is there, what is missing, what is wrong
npm run corpus -- manifest FOLDER                     writes FOLDER/manifest.csv from the corpus's file names

FOLDER   recordings with a manifest.csv, or a published corpus as its authors pack it, or a folder of such folders.
         Known by their file names: ${PUBLISHED_CORPORA.map(({ title }) => title).join(", ")}
--json   one JSON object, with every name
--jobs   threads

Ends with 0 when nothing is wrong, 1 when something is, 2 when nothing could be checked.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      jobs: { type: "string", default: String(Math.min(2, availableParallelism())) },
      help: { type: "boolean", default: false },
    },
  });
  const [command, ...folders] = positionals;
  if (values.help || command === undefined || folders.length === 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64) {
    throw new TonetapError("invalid-argument", `jobs must be 1–64, got ${values.jobs}`);
  }
  switch (command) {
    case "check":
      return await check(folders, jobs, values.json);
    case "manifest":
      return await writeManifests(folders);
    default:
      throw new TonetapError("invalid-argument", `command must be check or manifest, got ${command}`);
  }
}

async function check(folders: readonly string[], jobs: number, json: boolean): Promise<number> {
  const started = systemClock.now();
  const pool: CorpusPool = new WorkerPool(new URL("./corpus-worker.ts", import.meta.url), jobs);
  const checks: CorpusCheck[] = [];
  const problems: Problem[] = [];
  try {
    for (const folder of await findCorpora(folders)) {
      try {
        const found = await checkCorpus(await readLabelledFolder(folder), pool, showProgress);
        checks.push(found);
        if (!json) console.log(`${corpusReport(found)}\n`);
      } catch (error) {
        problems.push({ file: folder, reason: TonetapError.from(error).message });
      }
    }
  } finally {
    await pool.close();
  }
  if (json) console.log(JSON.stringify({ corpora: checks, problems }));
  for (const { reason } of problems) console.error(`not checked: ${reason}`);
  const files = checks.reduce((sum, found) => sum + found.files.found, 0);
  const wrong = checks.filter((found) => !isClean(found)).length;
  const seconds = (systemClock.now() - started) / 1000;
  console.error(
    `${files} recordings of ${checks.length} corpora in ${seconds.toFixed(0)} s; something is wrong in ${wrong}, ${problems.length} folders not checked`,
  );
  if (checks.length === 0) return 2;
  return wrong + problems.length === 0 ? 0 : 1;
}

async function writeManifests(folders: readonly string[]): Promise<number> {
  let leftOut = 0;
  for (const folder of await findCorpora(folders)) {
    const { rows, problems, corpus, labelledBy } = await readLabelledFolder(folder);
    for (const { file, reason } of problems) console.error(`left out: ${file}: ${reason}`);
    leftOut += problems.length;
    if (labelledBy === "manifest") {
      console.log(`${folder} has a manifest.csv already`);
      continue;
    }
    const path = join(folder, "manifest.csv");
    // Never over one that was written since it was looked for.
    await writeFile(path, formatManifest(rows), { flag: "wx" }).catch((error: unknown) => {
      throw TonetapError.from(error, "unavailable", `cannot write ${path}`);
    });
    console.log(`${path}: ${rows.length} recordings of ${corpus}`);
  }
  console.error(`${leftOut} left out`);
  return leftOut === 0 ? 0 : 1;
}

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY && (done % 50 === 0 || done === total)) {
    process.stderr.write(`\r${done} of ${total}${done === total ? "\r\x1b[K" : ""}`);
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(TonetapError.from(error).message);
  return 2;
});
