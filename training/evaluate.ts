/** `npm run evaluate`: prints how well a model does on labelled recordings. The measuring is evaluation.ts. */
import { basename, dirname } from "node:path";
import { parseArgs } from "node:util";
import { TonetapError } from "../src/core/errors.ts";
import { findModel, loadModelPackage } from "../src/inference/index.ts";
import { evaluate } from "./evaluation.ts";
import { evaluationReport } from "./evaluation-report.ts";
import { readLabelledFolder } from "./labelled-folder.ts";
import { parseLine } from "./line.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { recordedFigures } from "./recorded-figures.ts";

const USAGE = `npm run evaluate                                             the figures recorded with the model
npm run evaluate -- --manifest FILE [--audio DIR] [options]  judge your own recordings
npm run evaluate -- --audio DIR [options]                    the same: labels from DIR/manifest.csv or from its file names

--manifest FILE  CSV with the columns file, speaker, emotion; corpus and others may follow
--audio DIR      where its files are (default: the manifest's folder); without --manifest also RAVDESS, CREMA-D,
                 SAVEE, TESS, EMO-DB or EMOVO as their authors pack them
--model DIR      model package, or a bundled model's name (default: tonetap-base)
--line LINES     what the audio passes first, comma-separated: clean, g711, opus24, opus16-loss5, noise20, gain-20, …
                 The first one's figures are printed in full (default: opus24, as on a call)
--json           one JSON object instead of a table

Calm counts as neutral for a model without calm; an emotion that the model has no label for, as boredom, is counted and
not judged. Ends with 0, with 1 when a recording could not be used, with 2 when none could.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      manifest: { type: "string" },
      audio: { type: "string" },
      model: { type: "string", default: "tonetap-base" },
      line: { type: "string", default: "opus24" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const model = await loadModelPackage(await findModel(values.model));
  const source = await recordings(values);
  if (source === undefined) {
    console.log(values.json ? JSON.stringify(model.manifest.metrics) : recordedFigures(model));
    return 0;
  }
  const lines = values.line.split(",");
  for (const line of lines) parseLine(line);
  const result = await evaluate({ ...source, model, lines, onProgress: showProgress });
  if (values.json) console.log(JSON.stringify({ model: model.id, line: lines[0], ...result }));
  else console.log(evaluationReport(model, result));
  for (const { file, reason } of result.problems) console.error(`left out: ${file}: ${reason}`);
  console.error(`${result.problems.length} left out`);
  return result.corpora.length === 0 ? 2 : result.problems.length === 0 ? 0 : 1;
}

/** What is to be judged; undefined when nothing was named. */
async function recordings(named: {
  readonly manifest?: string | undefined;
  readonly audio?: string | undefined;
}): Promise<{ manifest: Manifest; audioDir: string } | undefined> {
  const { manifest: file, audio } = named;
  if (file !== undefined) {
    const folder = dirname(file);
    return { manifest: await readManifest(file, basename(folder)), audioDir: audio ?? folder };
  }
  return audio === undefined ? undefined : { manifest: await readLabelledFolder(audio), audioDir: audio };
}

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY && (done % 10 === 0 || done === total)) {
    process.stderr.write(`\r${done} of ${total}${done === total ? "\n" : ""}`);
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(TonetapError.from(error).message);
  return 2;
});
