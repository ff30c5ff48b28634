/**
 * Proves that every backend that runs here gives the same probabilities: one batch of eight windows, of full length and
 * shorter ones, through each of them. Exits with 1 if any differs from ONNX Runtime's processor by more than 1e-4.
 *
 *   node scripts/compare-backends.ts [MODEL…] [--packages FOLDER]
 *
 * MODEL is a bundled name or a folder; default: the bundled model and the small one of the tests. FOLDER's node_modules
 * holds the TensorFlow.js packages; default test/peers. ONNX Runtime's WebGPU takes part where a GPU or SwiftShader is.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { TonetapError } from "../src/core/errors.ts";
import {
  findModel,
  type InferenceBackend,
  loadModelPackage,
  type ModelPackage,
  modelShape,
  OnnxBackend,
  softmax,
  TfjsBackend,
  WindowMemory,
} from "../src/inference/index.ts";

export const WINDOWS = 8;
const TOLERANCE = 1e-4;
/** Debian's chromium-common brings it; a software GPU, so for small models only. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface Comparison {
  readonly backend: string;
  /** Largest difference of a probability to ONNX Runtime's processor; undefined where it does not run. */
  readonly difference: number | undefined;
  /** Why it does not run, or what it runs on. */
  readonly note: string;
}

/** @param packages folders whose node_modules hold TensorFlow.js */
export async function compareBackends(
  model: ModelPackage,
  packages: readonly string[],
): Promise<Comparison[]> {
  const memory = windows(model);
  const reference = await probabilities(new OnnxBackend({ device: "cpu", maxBatch: WINDOWS }), model, memory);
  const others: readonly [string, InferenceBackend][] = [
    ["onnx webgpu", new OnnxBackend({ device: "webgpu", maxBatch: WINDOWS })],
    ["onnx cuda", new OnnxBackend({ device: "cuda", maxBatch: WINDOWS })],
    ["tfjs", new TfjsBackend({ device: "auto", maxBatch: WINDOWS, packages })],
    ["tfjs wasm", new TfjsBackend({ device: "wasm", maxBatch: WINDOWS, packages })],
  ];
  const comparisons: Comparison[] = [];
  for (const [name, backend] of others) {
    try {
      const { values, on } = await probabilities(backend, model, memory);
      const difference = Math.max(...values.map((value, i) => Math.abs(value - (reference.values[i] ?? 0))));
      comparisons.push({ backend: name, difference, note: on });
    } catch (error) {
      comparisons.push({ backend: name, difference: undefined, note: TonetapError.from(error).message });
    }
  }
  return comparisons;
}

function windows({ manifest }: ModelPackage): WindowMemory {
  const shape = modelShape(manifest);
  const memory = new WindowMemory(WINDOWS, shape);
  for (let row = 0; row < WINDOWS; row++) {
    const frames = Math.max(manifest.window.minFrames, shape.frames - 30 * row);
    const features = Float32Array.from({ length: shape.channels * shape.frames }, (_, i) =>
      i % shape.frames < frames ? 1.4 * Math.sin((i + 1) * (row + 1) * 0.37) : 0,
    );
    memory.write(row, features, frames);
  }
  return memory;
}

/** Closes the backend. */
async function probabilities(
  backend: InferenceBackend,
  model: ModelPackage,
  memory: WindowMemory,
): Promise<{ readonly values: number[]; readonly on: string }> {
  const { labels, temperature } = model.manifest;
  try {
    await backend.load(model);
    const logits = new Float32Array(WINDOWS * labels.length);
    await backend.run({ memory, rows: Array.from({ length: WINDOWS }, (_, row) => row) }, logits);
    const values = Array.from({ length: WINDOWS }, (_, row) => [
      ...(softmax(logits.subarray(row * labels.length, (row + 1) * labels.length), temperature) ?? []),
    ]).flat();
    if (values.length !== logits.length) throw new TonetapError("internal", "a logit is not finite");
    const { engine, provider } = backend.describe();
    return { values, on: `${engine}, ${provider}` };
  } finally {
    await backend.close();
  }
}

/** A software Vulkan driver is used where there is no other; it must be named before the first session. */
export function useSwiftShader(): void {
  if (!existsSync("/dev/dri") && existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { packages: { type: "string" } },
    allowPositionals: true,
  });
  useSwiftShader();
  const models = positionals.length > 0 ? positionals : ["tonetap-base", here("../test/fixtures/tiny-model")];
  let worst = 0;
  for (const name of models) {
    const model = await loadModelPackage(await findModel(name));
    console.log(`${model.id}, ${WINDOWS} windows, largest difference of a probability to onnx cpu:`);
    for (const { backend, difference, note } of await compareBackends(model, [
      values.packages ?? here("../test/peers"),
    ])) {
      worst = Math.max(worst, difference ?? 0);
      console.log(`  ${backend.padEnd(12)} ${difference?.toExponential(1) ?? "does not run"}  (${note})`);
    }
  }
  process.exitCode = worst > TOLERANCE ? 1 : 0;
}
