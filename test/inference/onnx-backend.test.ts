import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { EmotionEstimate } from "../../src/core/window.ts";
import {
  DynamicBatcher,
  loadModelPackage,
  type ModelPackage,
  modelShape,
  OnnxBackend,
  type OnnxBackendOptions,
  WindowMemory,
} from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { backendConformance } from "./backend-conformance.ts";
import { SMALL_MANIFEST, settle, TINY_MODEL_DIR, windowAt } from "./fixtures.ts";

let model: ModelPackage;
let memory: WindowMemory;
let dir = "";
const opened: OnnxBackend[] = [];

beforeAll(async () => {
  model = await loadModelPackage(TINY_MODEL_DIR);
  dir = await mkdtemp(join(tmpdir(), "tonetap-onnx-"));
  const shape = modelShape(model.manifest);
  memory = new WindowMemory(4, shape);
  const features = new Float32Array(shape.channels * shape.frames);
  for (let i = 0; i < features.length; i++) features[i] = i % shape.frames < 120 ? Math.sin(i * 0.37) : 0;
  for (let row = 0; row < memory.rows; row++) memory.write(row, features, 120);
});
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend.close();
});
afterAll(() => rm(dir, { recursive: true }));

function make(options: OnnxBackendOptions = {}): OnnxBackend {
  const backend = new OnnxBackend({ device: "cpu", maxBatch: 4, ...options });
  opened.push(backend);
  return backend;
}

const run = async (backend: OnnxBackend, windows: number): Promise<Float32Array> => {
  const out = new Float32Array(windows * model.manifest.labels.length);
  await backend.run({ memory, rows: [0, 1, 2, 3].slice(0, windows) }, out);
  return out;
};

/** sin(0.37 i), 120 valid frames of 300; by onnx 1.23's reference evaluator (onnx.reference.ReferenceEvaluator). */
const EXPECTED = [-1.8101001, -0.2413055, 0.5858494, -1.6202362, 1.7952701, 0.9870704, -0.4242186];

describe("OnnxBackend", () => {
  it("gives the 7 logits that ONNX's reference evaluator gives, to 1e-4", async () => {
    const backend = make();
    await backend.load(model);

    expect([...(await run(backend, 1))]).toEqual(EXPECTED.map((value) => expect.closeTo(value, 4)));
  });

  it("says under auto what it got and why it got 0 of the devices before that", async () => {
    const backend = make({ device: "auto" });
    await backend.load(model);

    const { engine, requested, provider, device, tried, threads } = backend.describe();

    expect(engine).toMatch(/^onnxruntime-node \d+\.\d+\.\d+$/);
    expect([requested, threads]).toEqual(["auto", 1]);
    expect(device).toBe(provider === "cpu" ? "cpu" : "gpu");
    if (provider === "cpu") expect(tried.map((refused) => refused.provider)).toEqual(["cuda", "webgpu"]);
    for (const { reason } of tried) expect(reason).not.toBe("");
  });

  it("drops 1 window whose features are not numbers and answers the other 2 of its batch", async () => {
    const backend = make();
    await backend.load(model);
    const clock = new ManualClock();
    const batcher = new DynamicBatcher({
      manifest: model.manifest,
      backends: [backend],
      maxDelayMs: 20,
      clock,
    });

    const submitted = [0, Number.NaN, 0].map((value, i) =>
      batcher.submit(
        `key ${i}`,
        windowAt(0, () => value, model.manifest),
      ),
    );
    clock.advance(20);
    const answers = await Promise.all(submitted);
    await batcher.close();

    expect(answers.map((answer) => (answer.kind === "dropped" ? answer.reason : answer.kind))).toEqual([
      "estimate",
      "backend",
      "estimate",
    ]);
    expect((answers[0] as EmotionEstimate).batchSize).toBe(3);
  });

  it("names the tensor, its 4 dimensions and what the file has when the manifest describes another model", async () => {
    const manifest = { ...SMALL_MANIFEST, window: { frames: 300, minFrames: 1 } };

    await expect(make().load({ ...model, manifest })).rejects.toMatchObject({
      code: "invalid-argument",
      message:
        'the ONNX file\'s input "features" must be float32 [N, 13, 1, 300], got float32 [N, 85, 1, 300]',
    });
  });

  it("names the outputs that there are when 1 is missing", async () => {
    const { manifest } = model;
    const tensors = { ...manifest.tensors, logits: "scores" };

    await expect(make().load({ ...model, manifest: { ...manifest, tensors } })).rejects.toThrow(
      'the ONNX file\'s output "scores" must be float32 [N, 7], got only logits',
    );
  });

  it("says that a file of 9 bytes is no model, and stays failed", async () => {
    const onnxPath = join(dir, "garbage.onnx");
    await writeFile(onnxPath, "not a net");
    const backend = make();

    await expect(backend.load({ ...model, onnxPath })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("the model cannot run on cpu"),
    });
    expect(backend.describe().state).toBe("failed");
  });

  it("says why cuda is not there, in 1 sentence", async ({ skip }) => {
    const backend = make({ device: "cuda" });
    const error: unknown = await backend.load(model).catch((reason: unknown) => reason);
    if (error === undefined) skip("this machine has CUDA");

    expect(error).toMatchObject({
      code: "unavailable",
      retryable: false,
      message: expect.stringMatching(/^the model cannot run on cuda: \S/),
    });
  });

  it("stops loading when aborted in the middle, leaving 0 threads", async () => {
    const abort = new AbortController();
    const loading = make().load(model, abort.signal);

    abort.abort();

    await expect(loading).rejects.toMatchObject({ code: "closed" });
  });

  it("stops loading when closed in the middle, in 1 of 1 cases", async () => {
    const backend = make();
    const loading = backend.load(model);
    const outcome = expect(loading).rejects.toMatchObject({ code: "closed" });

    await backend.close();

    await outcome;
    expect(backend.describe().state).toBe("closed");
  });
});

describe("OnnxBackend whose thread is in native code", () => {
  const INTERRUPTED = fileURLToPath(new URL("interrupted-model.ts", import.meta.url));

  it("is given up at 12 moments of its start and 4 of a batch, and the process ends with 0 and says nothing", () => {
    const { status, signal, stderr, stdout } = spawnSync(process.execPath, [INTERRUPTED], {
      encoding: "utf8",
    });

    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
    // A fast machine has loaded before the last moments.
    expect(stdout).toMatch(/^[1-9]\d* starts and [1-4] batches given up\n$/);
  });
});

describe("OnnxBackend whose thread dies", () => {
  const script = new URL("./crashing-worker.ts", import.meta.url);

  it("rejects both batches under way as retryable, starts a thread after 100 ms and runs on", async () => {
    const clock = new ManualClock();
    const backend = make({ script, clock });
    await backend.load(model);

    const [died, behind] = await Promise.allSettled([run(backend, 3), run(backend, 1)]);

    const lost = { code: "unavailable", retryable: true };
    expect(died).toMatchObject({ reason: lost });
    expect(behind).toMatchObject({ reason: lost });
    expect(backend.describe()).toMatchObject({
      state: "restarting",
      lastError: "the inference thread ended with code 7",
    });
    await expect(run(backend, 1)).rejects.toMatchObject(lost);
    const ready = backend.ready();
    clock.advance(99);
    await settle();
    expect(backend.describe().restarts).toBe(0);
    clock.advance(1);
    await ready;
    expect(backend.describe()).toMatchObject({ state: "ready", restarts: 1 });
    expect((await run(backend, 1))[0]).toBeCloseTo(EXPECTED[0] ?? 0, 4);
  });

  it("gives up a thread that hangs in a batch for 2,000 ms, and replaces it", async () => {
    const clock = new ManualClock();
    const backend = make({ script, clock, runTimeoutMs: 2_000 });
    await backend.load(model);

    const hung = expect(run(backend, 2)).rejects.toMatchObject({
      code: "unavailable",
      message: "a batch took longer than 2000 ms",
    });
    clock.advance(2_000);
    await hung;
    const ready = backend.ready();
    clock.advance(100);
    await ready;

    expect(await run(backend, 1)).toHaveLength(7);
  });

  it("gives up after 2 starts in a row that its model's file refuses, and says why", async () => {
    const clock = new ManualClock();
    const onnxPath = join(dir, "lost.onnx");
    await copyFile(model.onnxPath, onnxPath);
    const backend = make({ script, clock, maxRestarts: 2 });
    await backend.load({ ...model, onnxPath });
    await rm(onnxPath);

    await expect(run(backend, 3)).rejects.toMatchObject({ code: "unavailable" });
    const ready = expect(backend.ready()).rejects.toMatchObject({ code: "unavailable", retryable: false });
    clock.advance(100);
    while (clock.pending === 0) await settle();
    clock.advance(200);
    await ready;

    expect(backend.describe()).toMatchObject({
      state: "failed",
      restarts: 2,
      lastError: expect.stringContaining("the model cannot run on cpu"),
    });
  });

  it("starts its count of tries anew after 1 batch that worked", async () => {
    const clock = new ManualClock();
    const backend = make({ script, clock, maxRestarts: 1 });
    await backend.load(model);

    for (let crash = 1; crash <= 2; crash++) {
      await expect(run(backend, 3)).rejects.toMatchObject({ code: "unavailable" });
      const ready = backend.ready();
      clock.advance(100);
      await ready;
      expect(await run(backend, 1)).toHaveLength(7);
      expect(backend.describe().restarts).toBe(crash);
    }
  });

  it("closes while it waits to start anew, with 0 timers left", async () => {
    const clock = new ManualClock();
    const backend = make({ script, clock });
    await backend.load(model);
    await expect(run(backend, 3)).rejects.toMatchObject({ code: "unavailable" });
    const ready = expect(backend.ready()).rejects.toMatchObject({ code: "closed" });

    await backend.close();

    await ready;
    expect(clock.pending).toBe(0);
  });

  it("stops waiting for ready() when aborted, in 1 of 1 cases", async () => {
    const backend = make({ script, clock: new ManualClock() });
    await backend.load(model);
    await expect(run(backend, 3)).rejects.toMatchObject({ code: "unavailable" });
    const abort = new AbortController();
    const ready = expect(backend.ready(abort.signal)).rejects.toMatchObject({ code: "closed" });

    abort.abort();

    await ready;
  });

  it("loses only the windows of the batch that died: a batcher answers the next 1", async () => {
    const backend = make({ script });
    await backend.load(model);
    const batcher = new DynamicBatcher({
      manifest: model.manifest,
      backends: [backend],
      maxDelayMs: 0,
      deadlineMs: 10_000,
    });
    const submit = (key: string, index: number) =>
      batcher.submit(
        key,
        windowAt(index, () => 0.5, model.manifest),
      );

    // The first goes alone; the 3 that come meanwhile go together, and kill the thread.
    const answers = await Promise.all([submit("a", 0), submit("a", 1), submit("b", 0), submit("c", 0)]);
    const next = await submit("a", 2);
    await batcher.close();

    expect(answers.map((answer) => answer.kind)).toEqual(["estimate", "dropped", "dropped", "dropped"]);
    expect(next.kind).toBe("estimate");
    expect(batcher.stats.dropped.backend).toBe(3);
  });
});

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** The system's loader, which ONNX Runtime asks for a device: it comes with ffmpeg, not with Chromium. */
const hasVulkan = (): boolean =>
  spawnSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" }).stdout?.includes("libvulkan.so.1") === true;

const noWebgpu = !existsSync(SWIFTSHADER) || !hasVulkan();
if (noWebgpu) {
  console.warn(
    "\n*** SKIPPED: every test of WebGPU. SwiftShader comes with chromium-common, its loader is libvulkan1.\n",
  );
}

describe.skipIf(noWebgpu)("OnnxBackend on WebGPU (SwiftShader)", () => {
  beforeAll(() => {
    // The Vulkan loader reads it when the thread's first adapter is asked for.
    process.env.VK_ICD_FILENAMES = SWIFTSHADER;
  });
  afterAll(() => {
    delete process.env.VK_ICD_FILENAMES;
  });

  backendConformance("OnnxBackend on webgpu", () => new OnnxBackend({ device: "webgpu", maxBatch: 4 }));

  it("gives the same 7 logits as the processor, to 1e-4, when it is asked for by name", async () => {
    const backend = make({ device: "webgpu", maxBatch: 2 });
    await backend.load(model);

    expect(backend.describe()).toMatchObject({ device: "gpu", provider: "webgpu", tried: [] });
    expect([...(await run(backend, 1))]).toEqual(EXPECTED.map((value) => expect.closeTo(value, 4)));
  });

  it("does not take it under auto, and gives 1 reason", async () => {
    const backend = make({ device: "auto", maxBatch: 2 });
    await backend.load(model);

    const { provider, tried } = backend.describe();
    if (provider === "cuda") return;
    expect(provider).toBe("cpu");
    expect(tried).toContainEqual({
      provider: "webgpu",
      reason: expect.stringMatching(/GPU|software|slower/),
    });
  });
});
