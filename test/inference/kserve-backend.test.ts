import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  DynamicBatcher,
  KserveBackend,
  type KserveBackendOptions,
  loadModelPackage,
  type ModelPackage,
  modelShape,
  OnnxBackend,
  WindowMemory,
} from "../../src/inference/index.ts";
import { CircuitBreaker } from "../../src/inference/kserve/circuit-breaker.ts";
import { type KserveServer, startKserveServer } from "../support/kserve-server.ts";
import { backendConformance } from "./backend-conformance.ts";
import { TINY_MODEL_DIR, windowAt } from "./fixtures.ts";

const ONNX = join(TINY_MODEL_DIR, "model.onnx");

describe.each(["http", "grpc"] as const)("KserveBackend over %s", (protocol) => {
  let server: KserveServer;
  let model: ModelPackage;
  let memory: WindowMemory;
  const opened: KserveBackend[] = [];

  beforeAll(async () => {
    server = await startKserveServer(ONNX, "tiny");
    model = await loadModelPackage(TINY_MODEL_DIR);
    const shape = modelShape(model.manifest);
    memory = new WindowMemory(4, shape);
    const features = Float32Array.from({ length: shape.channels * shape.frames }, (_, i) =>
      Math.sin(0.37 * i),
    );
    for (let row = 0; row < memory.rows; row++) memory.write(row, features, shape.frames);
  });
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  afterAll(() => server.stop());

  function make(options: Partial<KserveBackendOptions> = {}): KserveBackend {
    const backend = new KserveBackend({ url: server[protocol], maxBatch: 4, ...options });
    opened.push(backend);
    return backend;
  }
  async function loaded(options: Partial<KserveBackendOptions> = {}): Promise<KserveBackend> {
    const backend = make(options);
    await backend.load(model);
    return backend;
  }
  const run = async (backend: KserveBackend, dueMs?: number): Promise<Float32Array> => {
    const out = new Float32Array(model.manifest.labels.length);
    await backend.run({ memory, rows: [0], ...(dueMs === undefined ? {} : { dueMs }) }, out);
    return out;
  };
  const busy = protocol === "http" ? 503 : "UNAVAILABLE";
  const wrong = protocol === "http" ? 400 : "INVALID_ARGUMENT";

  backendConformance(
    `KserveBackend over ${protocol}`,
    () => new KserveBackend({ url: server[protocol], maxBatch: 4 }),
  );

  it("gives the 7 logits that ONNX Runtime gives here, from raw and from typed answers", async () => {
    const onnx = new OnnxBackend({ device: "cpu", maxBatch: 1 });
    await onnx.load(model);
    const want = new Float32Array(7);
    await onnx.run({ memory, rows: [0] }, want);
    await onnx.close();
    const backend = await loaded();

    const raw = await run(backend);
    await server.fail({ typed: true });
    const typed = await run(backend);

    const close = [...want].map((value) => expect.closeTo(value, 5));
    expect([...raw]).toEqual(close);
    expect([...typed]).toEqual(close);
  });

  it("sends 48 windows in 1 request of 5 MB", async () => {
    const backend = await loaded({ maxBatch: 48, requestTimeoutMs: 60_000 });
    const shape = modelShape(model.manifest);
    const many = new WindowMemory(48, shape);
    const features = Float32Array.from({ length: shape.channels * shape.frames }, (_, i) =>
      Math.sin(0.37 * i),
    );
    const rows = Array.from({ length: 48 }, (_, row) => row);
    for (const row of rows) many.write(row, features, shape.frames);
    const out = new Float32Array(48 * 7);

    await backend.run({ memory: many, rows }, out);

    const one = [...(await run(backend))].map((logit) => expect.closeTo(logit, 5));
    for (const row of [0, 31, 47]) expect([...out.subarray(7 * row, 7 * (row + 1))]).toEqual(one);
  });

  it("keeps 1 connection for 20 batches and tells the server how long each has", async () => {
    const backend = await loaded({ requestTimeoutMs: 20_000 });
    const before = await server.seen();

    for (let i = 0; i < 20; i++) await run(backend);

    const { connections, timeouts } = await server.seen();
    // Asking what was seen may have taken one of its own.
    expect(connections - before.connections).toBeLessThanOrEqual(1);
    const told = timeouts.slice(before.timeouts.length);
    expect(told).toHaveLength(20);
    for (const microseconds of told) {
      expect(microseconds).toBeGreaterThan(0);
      expect(microseconds).toBeLessThanOrEqual(20_000_000);
    }
  });

  it("tries a batch again when the server is busy 2 times, and not when the request is wrong", async () => {
    const backend = await loaded();
    const before = (await server.seen()).timeouts.length;

    await server.fail({ status: busy, times: 2 });
    const logits = await run(backend);
    await server.fail({ status: wrong });
    const refused = run(backend);

    await expect(refused).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("told to fail"),
    });
    expect(logits.some((value) => value !== 0)).toBe(true);
    expect((await server.seen()).timeouts.length - before).toBe(4);
    expect(backend.describe().state).toBe("ready");
  });

  it("gives a batch up when its windows are late, 300 ms on, and answers the next", async () => {
    const backend = await loaded();
    await server.fail({ delayMs: 30_000 });
    const startedMs = performance.now();

    const late = run(backend, startedMs + 300);

    await expect(late).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^no answer within \d+ ms$/),
    });
    // The server would have answered after 30 s.
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    expect(await run(backend)).toHaveLength(7);
  });

  it("leaves the server alone after 2 batches in a row that failed, until it says that it is ready", async () => {
    const backend = await loaded({ breakerFailures: 2, maxRetries: 0 });
    await server.fail({ status: busy, times: 2 });

    const first = await run(backend).catch((error) => error);
    const second = await run(backend).catch((error) => error);
    const third = await run(backend).catch((error) => error);

    expect([first.code, second.code, third.code]).toEqual(["internal", "unavailable", "unavailable"]);
    expect(third.message).toBe("the backend is restarting");
    await backend.ready();
    expect(backend.describe()).toMatchObject({ state: "ready", restarts: 1 });
    expect(await run(backend)).toHaveLength(7);
  });

  it("loses the windows of 1 batch, no more, when the server dies and comes back", async () => {
    const own = await startKserveServer(ONNX, "tiny");
    const backend = await loaded({ url: own[protocol], breakerFailures: 1, maxRetries: 0 });
    const batcher = new DynamicBatcher({
      manifest: model.manifest,
      backends: [backend],
      maxDelayMs: 0,
      deadlineMs: 60_000,
    });
    const submit = (index: number) => batcher.submit("a", windowAt(index, Math.sin, model.manifest));

    await own.stop();
    const lost = await submit(0);
    const waiting = submit(1);
    const again = await startKserveServer(ONNX, "tiny", own.ports);
    const answered = await waiting;
    await batcher.close();
    await again.stop();

    expect(lost).toMatchObject({ kind: "dropped", reason: "backend" });
    expect(answered).toMatchObject({ kind: "estimate" });
  });

  it("refuses a model that the server does not have, and 1 of another shape", async () => {
    await expect(make({ model: "other" }).load(model)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("unknown model"),
    });
    const shorter = { ...model, manifest: { ...model.manifest, window: { frames: 200, minFrames: 80 } } };
    await expect(make().load(shorter)).rejects.toMatchObject({
      code: "invalid-argument",
      message:
        'the server\'s input "features" must be FP32 [-1, 85, 1, 200] as tiny@0.0.1 has it, got FP32 [-1, 85, 1, 300]',
    });
  });

  it("says that 1 server cannot be reached", async () => {
    const url = protocol === "http" ? "http://127.0.0.1:9" : "grpc://127.0.0.1:9";

    await expect(make({ url, requestTimeoutMs: 30_000 }).load(model)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("127.0.0.1:9"),
    });
  });
});

describe("KserveBackend", () => {
  it("survives 1 connection that the server ends without an answer", async () => {
    const server = await startKserveServer(ONNX, "tiny");
    const model = await loadModelPackage(TINY_MODEL_DIR);
    const backend = new KserveBackend({ url: server.http, maxBatch: 1 });
    await backend.load(model);
    await server.fail({ hangUp: true });

    const timing = backend.run(
      { memory: new WindowMemory(1, modelShape(model.manifest)), rows: [0] },
      new Float32Array(7),
    );

    await expect(timing).resolves.toMatchObject({ inferenceMs: expect.any(Number) });
    await backend.close();
    await server.stop();
  });

  it.each(["127.0.0.1:8000", "ftp://host", "", "http://"])("refuses the URL %j: 1 reason", (url) => {
    expect(() => new KserveBackend({ url })).toThrow(
      `the inference server's URL must begin with http://, https://, grpc:// or grpcs://, got ${JSON.stringify(url)}`,
    );
  });
});

describe("CircuitBreaker", () => {
  it("opens after 3 failures in a row, not after 2 and a success", () => {
    const breaker = new CircuitBreaker(3);

    expect([breaker.failed(), breaker.failed()]).toEqual([false, false]);
    breaker.succeeded();
    expect([breaker.failed(), breaker.failed(), breaker.failed()]).toEqual([false, false, true]);
  });

  it("opens again after 1 failure on trial, closes after 1 success", () => {
    const breaker = new CircuitBreaker(2);
    breaker.failed();
    breaker.failed();
    breaker.allowTrial();

    expect([breaker.state, breaker.failed()]).toEqual(["half-open", true]);
    breaker.allowTrial();
    breaker.succeeded();

    expect([breaker.state, breaker.failed()]).toEqual(["closed", false]);
  });
});
