/**
 * Writes a model package's network as a TensorFlow.js graph model, for `tf.loadGraphModel()` in browsers and elsewhere.
 * Tonetap itself needs none: its tfjs backend converts the package's ONNX file when it loads it.
 *
 *   node scripts/export-tfjs.ts [MODEL] [--out FOLDER]     default: the bundled model, FOLDER = MODEL/tfjs
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findModel, loadModelPackage, onnxToTfjs } from "../src/inference/index.ts";

const WEIGHTS = "weights.bin";

/** @returns the path of its model.json */
export async function exportTfjs(dir: string, out = join(dir, "tfjs")): Promise<string> {
  const model = await loadModelPackage(dir);
  const { weightData, weightSpecs, ...rest } = onnxToTfjs(await readFile(model.onnxPath));
  await mkdir(out, { recursive: true });
  await writeFile(join(out, WEIGHTS), new Uint8Array(weightData));
  const file = join(out, "model.json");
  const json = {
    ...rest,
    generatedBy: model.id,
    weightsManifest: [{ paths: [WEIGHTS], weights: weightSpecs }],
  };
  await writeFile(file, `${JSON.stringify(json)}\n`);
  return file;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { out: { type: "string" } }, allowPositionals: true });
  const dir = await findModel(positionals[0] ?? "tonetap-base");
  console.log(await exportTfjs(dir, values.out === undefined ? undefined : resolve(values.out)));
}
