/** `npm run evaluate`: prints how well a model does on voices it never heard. The measuring is evaluation.ts. */
import { basename, dirname } from "node:path";
import { parseArgs } from "node:util";
import { TonetapError } from "../src/core/errors.ts";
import { findModel, loadModelPackage, type ModelPackage } from "../src/inference/index.ts";
import { type EvaluationResult, evaluate } from "./evaluation.ts";
import { parseLine } from "./line.ts";
import { readManifest } from "./manifest.ts";
import type { Figures } from "./metrics.ts";
import { recordedFigures } from "./recorded-figures.ts";

const USAGE = `npm run evaluate                                             the figures recorded with the model
npm run evaluate -- --manifest FILE [--audio DIR] [options]  judge your own recordings

--manifest FILE  CSV with the columns file, speaker, emotion; corpus and others may follow
--audio DIR      where its files are (default: the manifest's folder)
--model DIR      model package, or a bundled model's name (default: tonetap-base)
--line LINE      what the audio passes first: clean, g711, opus24, opus16-loss5, … (default: opus24, as on a call)
--json           one JSON object instead of a table`;

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
  if (values.manifest === undefined) {
    if (values.audio !== undefined) throw new TonetapError("invalid-argument", "--audio needs --manifest");
    console.log(values.json ? JSON.stringify(model.manifest.metrics) : recordedFigures(model));
    return 0;
  }
  const line = parseLine(values.line);
  const manifest = await readManifest(values.manifest, basename(dirname(values.manifest)));
  const result = await evaluate({
    manifest,
    audioDir: values.audio ?? dirname(values.manifest),
    model,
    line,
    onProgress: showProgress,
  });
  if (values.json) console.log(JSON.stringify({ model: model.id, line: values.line, ...result }));
  else console.log(report(model, values.line, result));
  for (const { file, reason } of result.problems) console.error(`left out: ${file}: ${reason}`);
  console.error(`${result.problems.length} left out`);
  return result.corpora.length === 0 ? 2 : result.problems.length === 0 ? 0 : 1;
}

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY && (done % 10 === 0 || done === total)) {
    process.stderr.write(`\r${done} of ${total}${done === total ? "\n" : ""}`);
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1).padStart(5)} %`;

function report(model: ModelPackage, line: string, { corpora }: EvaluationResult): string {
  const lines = [`${model.id}, line ${line}; whole recordings, as the mean over 3 s windows`];
  for (const { corpus, speakers, figures } of corpora) {
    const { warm, cold } = figures;
    lines.push(
      "",
      `${corpus}: ${warm.recordings} recordings, ${speakers} speakers, ${warm.labels.length} labels`,
      `  UAR       ${percent(warm.uar)} after 30 s of the voice, ${percent(cold.uar)} from the first word`,
      `  accuracy  ${percent(warm.accuracy)}                        ${percent(cold.accuracy)}`,
      ...confusionLines(warm),
    );
    if (model.manifest.corpora.includes(corpus)) {
      lines.push(`  The model was trained on ${corpus}: these are no figures for voices it never heard.`);
    }
  }
  return lines.join("\n");
}

function confusionLines({ labels, confusion }: Figures): string[] {
  const cell = (text: string | number): string => String(text).slice(0, 8).padStart(9);
  return [
    `  ${"said → judged".padEnd(14)}${labels.map(cell).join("")}`,
    ...confusion.map((row, i) => `  ${(labels[i] ?? "").padEnd(14)}${row.map(cell).join("")}`),
  ];
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(TonetapError.from(error).message);
  return 2;
});
