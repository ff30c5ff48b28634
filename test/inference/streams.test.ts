import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { sampleIndex } from "../../src/core/units.ts";
import type { DroppedWindow, EmotionEstimate, FeatureWindow } from "../../src/core/window.ts";
import {
  DynamicBatcher,
  loadModelPackage,
  measureBatchCurve,
  modelShape,
  OnnxBackend,
} from "../../src/inference/index.ts";
import { softmax } from "../../src/inference/softmax.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ECHO_MANIFEST, EchoBackend, type EchoBackendOptions, echoLogits } from "./echo-backend.ts";
import { settle, windowInfoAt } from "./fixtures.ts";
import { TINY_STREAMING_DIR } from "./tiny-network.ts";

const value = (frame: number): number => Math.sin(0.7 * frame);
const frames = (first: number, end: number): Float32Array =>
  Float32Array.from({ length: end - first }, (_, i) => value(first + i));

/** Frames [first, end) of one voice. Its other frames cannot be read where only the fresh ones are to be. */
function windowOf(first: number, end: number, fresh: number, unreadable = false): FeatureWindow {
  const features = new Float32Array(20);
  features.set(frames(first, end));
  return {
    ...windowInfoAt(0),
    kind: "window",
    end: sampleIndex(160 * end),
    frames: end - first,
    fresh,
    freshFeatures: frames(end - fresh, end),
    get features() {
      if (unreadable) throw new TonetapError("internal", "all frames were read");
      return features;
    },
  };
}

const heard = (first: number, end: number): unknown[] =>
  [...(softmax(Float32Array.from(echoLogits(frames(first, end))), 1) ?? [])].map((p) => expect.closeTo(p, 5));
const said = (answer: EmotionEstimate | DroppedWindow): unknown =>
  answer.kind === "dropped" ? answer.reason : [...answer.probabilities];

function setUp(options: Partial<EchoBackendOptions> & { readonly streamLimit?: number } = {}) {
  const clock = new ManualClock();
  const { streamLimit = 4, ...echo } = options;
  const backend = new EchoBackend({ clock, ...echo });
  const batcher = new DynamicBatcher({
    manifest: ECHO_MANIFEST,
    backends: [backend],
    maxDelayMs: 0,
    streamLimit,
    clock,
  });
  return { clock, backend, batcher };
}

describe("windows of a stream", () => {
  it("rest on 5 new frames each, and the other 15 are not even read", async () => {
    const { batcher, backend } = setUp();

    const answers = [await batcher.submit("a", windowOf(0, 10, 10))];
    for (const end of [15, 20, 25, 30]) {
      answers.push(await batcher.submit("a", windowOf(Math.max(0, end - 20), end, 5, true)));
    }
    await batcher.close();

    expect(answers.map(said)).toEqual([10, 15, 20, 25, 30].map((end) => heard(0, end)));
    expect(backend.model.encoded).toEqual([
      [1, 10],
      [1, 5],
      [1, 5],
      [1, 5],
      [1, 5],
    ]);
    expect(batcher.stats.streams).toEqual({ steps: 4, rebuilds: 1, held: 1, limit: 4, evicted: 0 });
  });

  it("say before 6 of 6 whether their other frames would be read: not while 1 waits, nor once it is forgotten", async () => {
    const { batcher } = setUp();
    const needs = (end: number): boolean => batcher.needsFreshOnly("a", windowOf(end - 10, end, 5, true));
    const told = [needs(15)];

    await batcher.submit("a", windowOf(0, 10, 10));
    told.push(needs(15), needs(20));
    const answer = batcher.submit("a", windowOf(5, 15, 5, true));
    told.push(needs(20));
    await answer;
    told.push(needs(20));
    batcher.forget("a");
    told.push(needs(20));
    await batcher.close();

    expect(told).toEqual([false, true, false, false, true, false]);
  });

  it("run 2 and 1 together by the length of what is new", async () => {
    const { batcher, backend } = setUp();
    for (const key of ["a", "b"]) await batcher.submit(key, windowOf(0, 10, 10));

    await Promise.all([
      batcher.submit("x", { ...windowOf(0, 10, 10) }),
      batcher.submit("a", windowOf(0, 15, 5)),
      batcher.submit("b", windowOf(0, 15, 5)),
    ]);
    await batcher.close();

    const runs = backend.model.encoded.slice(2).toSorted(([m], [n]) => m - n);
    expect(runs.reduce((sum, [count]) => sum + count, 0)).toBe(3);
    expect(runs.at(-1)).toEqual([2, 5]);
  });

  it("go through the model in even parts of 8 at most: 11 short ones, then 11 that go on, each by its own frames", async () => {
    const { batcher, backend } = setUp({ maxBatch: 12, streamLimit: 12 });
    const keys = Array.from({ length: 11 }, (_, i) => i);
    const submit = (key: number, ...[first, end, fresh]: [number, number, number]) =>
      batcher.submit(`${key}`, windowOf(100 * key + first, 100 * key + end, fresh));
    // The first goes out alone, for no delay is set; the others while it is judged.
    const begun = await Promise.all(keys.map((key) => submit(key, 0, 10, 10)));
    const longer = await Promise.all(
      keys.map((key) => submit(key, 0, key === 3 ? 20 : 15, key === 3 ? 10 : 5)),
    );
    await batcher.close();

    expect(begun.map(said)).toEqual(keys.map((key) => heard(100 * key, 100 * key + 10)));
    expect(longer.map(said)).toEqual(keys.map((key) => heard(100 * key, 100 * key + (key === 3 ? 20 : 15))));
    // 1 and 10 that begin, as 5 and 5; 1 and 10 that go on, 1 of them with more to add.
    expect(Math.max(...backend.model.encoded.map(([count]) => count))).toBe(5);
    expect(backend.model.encoded.reduce((sum, [count]) => sum + count, 0)).toBe(22);
    expect(backend.model.handed.every((floats) => floats.every((x) => x === 0))).toBe(true);
  });

  it("bring the frames of 1 window along that failed", async () => {
    let failures = 0;
    const failure = () => (++failures === 2 ? new TonetapError("internal", "drawn") : undefined);
    const { batcher, backend } = setUp({ failure });

    const answers = [
      await batcher.submit("a", windowOf(0, 10, 10)),
      await batcher.submit("a", windowOf(0, 15, 5)),
      await batcher.submit("a", windowOf(0, 20, 5)),
    ];
    await batcher.close();

    expect(answers.map(said)).toEqual([heard(0, 10), "backend", heard(0, 20)]);
    expect(backend.model.encoded.at(-1)).toEqual([1, 10]);
  });

  it("begin anew where the slot went to another voice: 1 of 1 is counted", async () => {
    const { batcher } = setUp({ streamLimit: 1 });

    await batcher.submit("a", windowOf(0, 20, 20));
    await batcher.submit("b", windowOf(0, 20, 20));
    const answer = await batcher.submit("a", windowOf(5, 25, 5));
    await batcher.close();

    expect(said(answer)).toEqual(heard(5, 25));
    expect(batcher.stats.streams).toMatchObject({ steps: 0, rebuilds: 3, held: 1, evicted: 2 });
  });

  it("are wiped at once by forget(): 0 of what the slot held is left, with the next window in the model", async () => {
    const { batcher, backend, clock } = setUp({ batchMs: 10 });
    const first = batcher.submit("a", windowOf(0, 10, 10));
    await settle();
    clock.advance(10);
    await first;
    const { memory } = backend;
    const left = (): number =>
      [...(memory?.states ?? []), ...(memory?.embeddings.values ?? [])].filter((x) => x !== 0).length;
    expect(left()).toBe(3);
    const second = batcher.submit("a", windowOf(0, 15, 5));
    await settle();

    batcher.forget("a");

    expect(left()).toBe(0);
    clock.advance(10);
    expect(said(await second)).toBe("closed");
    expect([left(), memory?.held]).toEqual([0, 0]);
    await batcher.close();
  });
});

describe("a package with encoder and head", () => {
  it("is refused with its field named where 3 of its sizes do not fit", async () => {
    const dir = await mkdtemp(join(tmpdir(), "tonetap-streaming-"));
    await cp(TINY_STREAMING_DIR, dir, { recursive: true });
    const manifest = JSON.parse(await readFile(join(dir, "model.json"), "utf8"));
    const load = async (changes: object) => {
      await writeFile(join(dir, "model.json"), JSON.stringify({ ...manifest, ...changes }));
      return loadModelPackage(dir);
    };

    await expect(load({ streaming: { ...manifest.streaming, steps: 50 } })).rejects.toThrow(
      "streaming.steps must be window.frames / strideFrames, 300 / 5, got 50",
    );
    await expect(load({ window: { frames: 300, minFrames: 82 } })).rejects.toThrow(
      "window.minFrames must be a multiple of streaming.strideFrames, 5, got 82",
    );
    await expect(load({ files: { onnx: "model.onnx" } })).rejects.toThrow("files.encoder");
    const wrong = await load({ streaming: { ...manifest.streaming, stateSize: 355 } });
    const backend = new OnnxBackend({ device: "cpu" });
    await expect(backend.load(wrong)).rejects.toThrow(
      "the encoder's file's input \"state\" must be float32 [N, 355], got float32 [N, 356]",
    );
    await backend.close();
    await rm(dir, { recursive: true });
  });

  it("is measured by batches of steps of 10 frames: 3 sizes", async () => {
    const clock = new ManualClock();
    const backend = new EchoBackend({ clock, maxBatch: 4 });

    const curve = await measureBatchCurve(backend, modelShape(ECHO_MANIFEST), clock, undefined, 10);

    expect(curve.map(({ windows }) => windows)).toEqual([1, 2, 4]);
    expect(new Set(backend.model.encoded.map(([, count]) => count))).toEqual(new Set([10]));
  });
});
