/** A streaming package in the real ONNX thread: what a crash and a change of model do to its streams. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { sampleIndex } from "../../src/core/units.ts";
import type { DroppedWindow, EmotionEstimate, FeatureWindow } from "../../src/core/window.ts";
import {
  DynamicBatcher,
  loadModelPackage,
  ModelHost,
  type ModelPackage,
  OnnxBackend,
} from "../../src/inference/index.ts";
import { modelOptions } from "../../src/model-options.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { windowInfoAt } from "./fixtures.ts";
import { TINY_STREAMING_DIR, type TinyNetwork, tinyNetwork } from "./tiny-network.ts";

const CHANNELS = 85;
const value = (channel: number, frame: number): number => Math.sin(0.31 * frame + channel);

let model: ModelPackage;
let network: TinyNetwork;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  model = await loadModelPackage(TINY_STREAMING_DIR);
  network = await tinyNetwork();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function windowOf(end: number, fresh?: number): FeatureWindow {
  const first = Math.max(0, end - 300);
  const features = new Float32Array(CHANNELS * 300);
  for (let c = 0; c < CHANNELS; c++) {
    for (let t = first; t < end; t++) features[c * 300 + t - first] = value(c, t);
  }
  const frames = end - first;
  const info = { ...windowInfoAt(0), end: sampleIndex(160 * end), kind: "window" as const };
  return { ...info, features, frames, ...(fresh === undefined ? {} : { fresh }) };
}

/** The network's answer to frames [first, end) from a state of zeros. */
function heard(first: number, end: number): unknown[] {
  const frames = Array.from({ length: end - first }, (_, t) =>
    Float32Array.from({ length: CHANNELS }, (_, c) => value(c, first + t)),
  );
  return network.judge(network.encode(frames)).map((p) => expect.closeTo(p, 4));
}

const said = (answer: EmotionEstimate | DroppedWindow): unknown =>
  answer.kind === "dropped" ? answer.reason : [...answer.probabilities];

describe("a streaming model in its thread", () => {
  it("goes on with 1 stream after the thread died under another batch: what it carried is not the thread's", async () => {
    const backend = new OnnxBackend({
      device: "cpu",
      maxBatch: 3,
      script: new URL("./crashing-worker.ts", import.meta.url),
    });
    closing.push(() => backend.close());
    await backend.load(model);
    const clock = new ManualClock();
    const batcher = new DynamicBatcher({
      manifest: model.manifest,
      backends: [backend],
      maxDelayMs: 5,
      deadlineMs: 30_000,
      clock,
    });
    closing.push(() => batcher.close());
    /** What is submitted before time passes is one batch, however long it took. */
    const judged = (...windows: readonly (readonly [key: string, window: FeatureWindow])[]) => {
      const answers = windows.map(([key, window]) => batcher.submit(key, window));
      clock.advance(5);
      return Promise.all(answers);
    };
    const before = (await judged(["a", windowOf(320, 300)])).map(said);

    // A batch of 3 kills it; the stream's window is one of them.
    const lost = await judged(["a", windowOf(370, 50)], ["b", windowOf(100)], ["c", windowOf(100)]);
    await backend.ready();
    const after = (await judged(["a", windowOf(420, 50)])).map(said);

    expect(before).toEqual([heard(20, 320)]);
    expect(lost.map(said)).toEqual(["backend", "backend", "backend"]);
    expect(after).toEqual([heard(20, 420)]);
    expect(batcher.stats.streams).toMatchObject({ steps: 1, rebuilds: 1 });
  });

  it("leaves 0 numbers of a batch that failed half done where the next one's go", async () => {
    const script = new URL("./half-done-worker.ts", import.meta.url);
    const backend = new OnnxBackend({ device: "cpu", maxBatch: 2, script });
    closing.push(() => backend.close());
    await backend.load(model);
    const limits = { maxDelayMs: 0, deadlineMs: 30_000 };
    const batcher = new DynamicBatcher({ manifest: model.manifest, backends: [backend], ...limits });
    closing.push(() => batcher.close());

    const failed = await batcher.submit("a", windowOf(320, 300));
    const next = await batcher.submit("a", windowOf(370, 50));

    expect(said(failed)).toBe("backend");
    expect(batcher.stats.lastError).toBe("the model failed on a batch: half done");
    expect(next).toMatchObject({ kind: "estimate", inferenceMs: 0 });
  });

  it("is told to windows by its steps of 5 frames, unless the hop is 70 ms or it is switched off", async () => {
    const strideOf = async (config: Parameters<typeof parseConfig>[0]) => {
      const host = await ModelHost.open(model, await modelOptions(parseConfig(config)));
      closing.push(() => host.close());
      return host.scalesOf("call").strideFrames;
    };
    const device = "cpu" as const;

    const strides = [
      await strideOf({ model: { device } }),
      await strideOf({ model: { device }, window: { hopMs: 70 } }),
      await strideOf({ model: { device, incremental: "off" } }),
    ];

    expect(strides).toEqual([5, undefined, undefined]);
  });

  it("begins anew on a model that takes over: version 0.0.2 has heard 0 of what came before", async () => {
    const options = await modelOptions(parseConfig({ model: { device: "cpu", deadlineMs: 30_000 } }));
    const host = await ModelHost.open(model, options);
    closing.push(() => host.close());
    const next = { ...model, manifest: { ...model.manifest, version: "0.0.2" }, id: "tiny-streaming@0.0.2" };
    await host.submit("a", windowOf(320, 300));
    const old = await host.submit("a", windowOf(370, 50));

    await host.change(next, { mode: "live" });
    // The window stage would begin anew; even where it does not, no state is taken for another's.
    const first = await host.submit("a", windowOf(420, 50));
    const second = await host.submit("a", windowOf(470, 50));

    expect(said(old)).toEqual(heard(20, 370));
    expect([first, second].map((answer) => answer.kind === "estimate" && answer.model)).toEqual([
      "tiny-streaming@0.0.2",
      "tiny-streaming@0.0.2",
    ]);
    expect(said(first)).toEqual(heard(120, 420));
    expect(said(second)).toEqual(heard(120, 470));
  });
});
