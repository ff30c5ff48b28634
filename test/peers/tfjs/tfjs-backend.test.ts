import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { compareBackends, useSwiftShader } from "../../../scripts/compare-backends.ts";
import { exportTfjs } from "../../../scripts/export-tfjs.ts";
import {
  type DeviceOption,
  defaultModelDir,
  loadModelPackage,
  type ModelPackage,
  modelShape,
  OnnxBackend,
  TfjsBackend,
  WindowMemory,
} from "../../../src/inference/index.ts";
import { backendConformance } from "../../inference/backend-conformance.ts";
import { TINY_MODEL_DIR } from "../../inference/fixtures.ts";
import { PACKAGES, tfjsNativeMissing } from "./setup.ts";

const tfjs = (device: DeviceOption, maxBatch = 4): TfjsBackend =>
  new TfjsBackend({ device, maxBatch, packages: [PACKAGES] });
const nativeMissing = tfjsNativeMissing() !== undefined;

backendConformance("TfjsBackend on wasm", () => tfjs("wasm"));
if (!nativeMissing) backendConformance("TfjsBackend on TensorFlow's processor kernels", () => tfjs("cpu"));

let dir = "";
const opened: TfjsBackend[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tonetap-tfjs-"));
});
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend.close();
});
afterAll(() => rm(dir, { recursive: true }));

function make(device: DeviceOption, maxBatch?: number): TfjsBackend {
  const backend = tfjs(device, maxBatch);
  opened.push(backend);
  return backend;
}

function bench(model: ModelPackage): { readonly memory: WindowMemory; readonly out: Float32Array } {
  const shape = modelShape(model.manifest);
  const memory = new WindowMemory(1, shape);
  const features = Float32Array.from({ length: shape.channels * shape.frames }, (_, i) => Math.sin(0.37 * i));
  memory.write(0, features, shape.frames);
  return { memory, out: new Float32Array(shape.labels) };
}

describe("TfjsBackend", () => {
  it("says which of 2 native packages it did not get before WebAssembly, and why, when it looks in an empty folder", async () => {
    const backend = new TfjsBackend({ packages: [dir] });
    opened.push(backend);

    await expect(backend.load(await loadModelPackage(TINY_MODEL_DIR))).rejects.toMatchObject({
      code: "unavailable",
      message:
        "tfjs cannot run on auto: @tensorflow/tfjs-node-gpu: it is not installed; " +
        "@tensorflow/tfjs-node: it is not installed; @tensorflow/tfjs-backend-wasm: it is not installed",
    });
  });

  it("refuses cuda where TensorFlow finds 0 GPUs, and webgpu, which it does not know", async () => {
    const model = await loadModelPackage(TINY_MODEL_DIR);

    await expect(make("webgpu").load(model)).rejects.toMatchObject({
      message: "tfjs runs on auto, cpu, cuda, wasm, not on webgpu",
    });
    if (nativeMissing || existsSync("/dev/nvidia0")) return;
    await expect(make("cuda").load(model)).rejects.toMatchObject({
      message:
        "tfjs cannot run on cuda: @tensorflow/tfjs-node-gpu: TensorFlow found no GPU; " +
        "@tensorflow/tfjs-node: it is not installed",
    });
  });

  it("names the operator of a model that it cannot run: 1 cut file, 1 renamed operator", async () => {
    const model = await loadModelPackage(TINY_MODEL_DIR);
    const onnx = await readFile(model.onnxPath);
    const cut = join(dir, "cut.onnx");
    await writeFile(cut, onnx.subarray(0, 5_000));
    const renamed = join(dir, "renamed.onnx");
    const changed = Buffer.from(onnx);
    changed.write("Rela", changed.indexOf("Relu"));
    await writeFile(renamed, changed);

    await expect(make("wasm").load({ ...model, onnxPath: cut })).rejects.toMatchObject({
      code: "invalid-argument",
      message: "the ONNX file cannot be read: it is cut off",
    });
    await expect(make("wasm").load({ ...model, onnxPath: renamed })).rejects.toMatchObject({
      code: "invalid-argument",
      message: "tfjs cannot run this model: node active (Rela): the operator Rela is not known",
    });
  });

  it.skipIf(nativeMissing)(
    "uses TensorFlow's own kernels under auto, and says that they are on no GPU: 0 of 0",
    async () => {
      const backend = make("auto");
      await backend.load(await loadModelPackage(TINY_MODEL_DIR));

      const { engine, provider, device, tried } = backend.describe();

      expect(engine).toMatch(/^tfjs \d+\.\d+\.\d+$/);
      expect([provider, device]).toEqual(
        device === "gpu" ? ["tensorflow-gpu", "gpu"] : ["tensorflow-cpu", "cpu"],
      );
      expect(tried).toEqual([]);
    },
  );

  // Its thread fails a batch that leaves a tensor behind.
  it.each(nativeMissing ? (["wasm"] as const) : (["wasm", "cpu"] as const))(
    "keeps 0 tensors of 200 batches on %s",
    async (device) => {
      const model = await loadModelPackage(TINY_MODEL_DIR);
      const backend = make(device);
      await backend.load(model);
      const { memory, out } = bench(model);

      for (let i = 0; i < 200; i++) await backend.run({ memory, rows: [0] }, out);

      expect(backend.describe()).toMatchObject({ state: "ready", lastError: "" });
    },
  );
});

describe("backends compared", () => {
  it.each([TINY_MODEL_DIR, defaultModelDir()])(
    "give the same probabilities to 1e-4, 8 windows of %s",
    async (folder) => {
      useSwiftShader();
      const model = await loadModelPackage(folder);

      const compared = await compareBackends(model, [PACKAGES]);
      delete process.env.VK_ICD_FILENAMES;

      const ran = compared.filter(({ difference }) => difference !== undefined);
      for (const { difference } of ran) expect(difference).toBeLessThan(1e-4);
      expect(ran.map(({ backend }) => backend)).toEqual(expect.arrayContaining(["tfjs", "tfjs wasm"]));
    },
  );

  it("export a model.json that tf.loadGraphModel() reads: 7 logits equal ONNX's", async () => {
    const model = await loadModelPackage(TINY_MODEL_DIR);
    const folder = join(dir, "exported");
    const file = await exportTfjs(TINY_MODEL_DIR, folder);
    const { memory, out } = bench(model);
    const onnx = new OnnxBackend({ device: "cpu", maxBatch: 1 });
    await onnx.load(model);
    await onnx.run({ memory, rows: [0] }, out);
    await onnx.close();

    const tf = createRequire(join(PACKAGES, "package.json"))("@tensorflow/tfjs");
    const { weightsManifest, ...json } = JSON.parse(await readFile(file, "utf8"));
    const weightData = new Uint8Array(await readFile(join(folder, weightsManifest[0].paths[0]))).buffer;
    const artifacts = { ...json, weightSpecs: weightsManifest[0].weights, weightData };
    const graph = await tf.loadGraphModel(tf.io.fromMemory(artifacts));
    const { channels, frames } = modelShape(model.manifest);
    const logits = graph.predict({
      features: tf.tensor(memory.features, [1, channels, 1, frames]),
      mask: tf.tensor(memory.masks, [1, 1, 1, frames]),
    });

    expect([...logits.dataSync()]).toEqual([...out].map((value) => expect.closeTo(value, 4)));
  });
});
