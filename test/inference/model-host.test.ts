import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import type { DroppedWindow, EmotionEstimate } from "../../src/core/window.ts";
import { loadModelPackage, ModelHost, type ModelPackage, modelShape } from "../../src/inference/index.ts";
import { inShare } from "../../src/inference/model-host.ts";
import { ShadowComparison } from "../../src/inference/shadow-comparison.ts";
import { modelOptions } from "../../src/model-options.ts";
import { estimateAt, settle, TINY_MODEL_DIR, windowAt, windowInfoAt } from "./fixtures.ts";

const OPTIONS = await modelOptions(
  parseConfig({ model: { device: "cpu", maxBatch: 8, maxDelayMs: 1, deadlineMs: 60_000 } }),
);

let dir = "";
let first: ModelPackage;
let second: ModelPackage;
let host: ModelHost | undefined;

/** The small model under another version, with changes to its manifest; its weights are the same. */
async function variant(version: string, changes: Record<string, unknown> = {}): Promise<ModelPackage> {
  const folder = join(dir, version);
  await cp(TINY_MODEL_DIR, folder, { recursive: true });
  const manifest = JSON.parse(await readFile(join(folder, "model.json"), "utf8"));
  await writeFile(join(folder, "model.json"), JSON.stringify({ ...manifest, version, ...changes }));
  return loadModelPackage(folder);
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tonetap-host-"));
  first = await loadModelPackage(TINY_MODEL_DIR);
  second = await variant("0.0.2");
});
afterEach(async () => {
  await host?.close();
  host = undefined;
});
afterAll(() => rm(dir, { recursive: true }));

async function open(): Promise<ModelHost> {
  host = await ModelHost.open(first, OPTIONS);
  return host;
}

const window = (index: number) => windowAt(index, (c) => Math.sin(c + index), first.manifest);
const modelsOf = (answers: readonly (EmotionEstimate | DroppedWindow)[]): string[] =>
  answers.map((answer) => (answer.kind === "estimate" ? answer.model : answer.reason));

describe("ModelHost: taking over", () => {
  it("changes the model under 400 windows and more that keep coming and loses 0 of them", async () => {
    const models = await open();
    const answers: Promise<EmotionEstimate | DroppedWindow>[] = [];
    let answered = 0;
    const feed = setInterval(() => {
      // Never more than the queue has room for, on a machine however busy.
      for (let i = 0; i < 4 && answers.length - answered < 200; i++) {
        const answer = models.submit(`call ${i}`, window(answers.length));
        void answer.then(() => answered++);
        answers.push(answer);
      }
    }, 4);
    const until = (count: number): Promise<void> => expect.poll(() => answers.length).toBeGreaterThan(count);

    await expect.poll(() => answered).toBeGreaterThan(20);
    await models.change(second, { mode: "live" });
    await until(Math.max(400, answers.length + 40));
    clearInterval(feed);
    const said = modelsOf(await Promise.all(answers));

    const change = said.indexOf("tiny@0.0.2");
    expect(change).toBeGreaterThan(0);
    // One switch: all before it by the old model, all after it by the new.
    expect(new Set(said.slice(0, change))).toEqual(new Set(["tiny@0.0.1"]));
    expect(new Set(said.slice(change))).toEqual(new Set(["tiny@0.0.2"]));
    const { submitted, estimated } = models.stats;
    expect([submitted, estimated]).toEqual([answers.length, answers.length]);
    expect(models.id).toBe("tiny@0.0.2");
    expect(models.describe().map(({ id, mode, share }) => [id, mode, share])).toEqual([
      ["tiny@0.0.2", "live", 1],
    ]);
  });

  it("has the 3 windows that wait judged by the model that goes", async () => {
    const models = await open();
    const waiting = [0, 1, 2].map((i) => models.submit("a", window(i)));

    const changing = models.change(second, { mode: "live" });
    await changing;
    waiting.push(models.submit("a", window(3)));

    expect(modelsOf(await Promise.all(waiting))).toEqual([
      "tiny@0.0.1",
      "tiny@0.0.1",
      "tiny@0.0.1",
      "tiny@0.0.2",
    ]);
  });

  it("has the next model wait as long for batch-mates as the load of 100 % said to the one before: 20 ms", async () => {
    const models = await open();
    expect(models.stats.delayMs).toBe(1);
    models.followLoad(1);
    expect(models.stats.delayMs).toBe(20);

    await models.change(second, { mode: "live" });

    expect([models.id, models.stats.delayMs]).toEqual(["tiny@0.0.2", 20]);
  });

  it("stays with its model when the new one does not load, has other labels or the same version: 3 refusals", async () => {
    const models = await open();
    const broken = await variant("0.1.0");
    await writeFile(broken.onnxPath, "no model");
    const { labels, affect } = first.manifest;
    const others = await variant("0.1.1", {
      labels: labels.map((label) => `${label}!`),
      affect: Object.fromEntries(labels.map((label) => [`${label}!`, affect[label]])),
    });

    await expect(models.change(broken, { mode: "live" })).rejects.toMatchObject({ code: "unavailable" });
    await expect(models.change(others, { mode: "live" })).rejects.toMatchObject({
      code: "invalid-argument",
      message:
        "tiny@0.1.1 cannot follow tiny@0.0.1 while calls go on: its labels differ; start the service with it",
    });
    await expect(models.change(first, { mode: "live" })).rejects.toMatchObject({ code: "conflict" });

    expect(modelsOf([await models.submit("a", window(0))])).toEqual(["tiny@0.0.1"]);
  });

  it("takes 1 change at a time, and none once it is closed, closing in the middle of one", async () => {
    const models = await open();

    const one = models.change(second, { mode: "live" });
    await expect(models.change(second, { mode: "live" })).rejects.toMatchObject({ code: "conflict" });
    const closed = models.close();

    await expect(one).rejects.toMatchObject({ code: "closed" });
    await closed;
    await expect(models.change(second, { mode: "live" })).rejects.toMatchObject({ code: "closed" });
  });
});

describe("ModelHost: a canary", () => {
  it("judges 10 % of 1,000 calls, each call always by one model", async () => {
    const models = await open();
    await models.change(second, { mode: "canary", share: 0.1 });
    const calls = Array.from({ length: 1_000 }, (_, i) => `call-${i}`);

    const rounds = [0, 1].map((round) =>
      Promise.all(calls.map((call) => models.submit(`${call}/ada`, window(round), { call }))),
    );
    const [one = [], two = []] = (await Promise.all(rounds)).map(modelsOf);

    expect(two).toEqual(one);
    const canary = one.filter((id) => id === "tiny@0.0.2").length;
    expect(canary).toBeGreaterThan(70);
    expect(canary).toBeLessThan(130);
    expect(calls.filter((call) => inShare(call, 0.1))).toHaveLength(canary);
    expect(models.stats.estimated).toBe(2_000);
  });

  it("takes over without being loaded a 2nd time, and lets the old model go", async () => {
    const models = await open();
    await models.change(second, { mode: "canary", share: 0.5 });
    const [, before] = models.describe();

    await models.change(second, { mode: "live" });

    const [after, ...others] = models.describe();
    expect(others).toEqual([]);
    expect([after?.id, after?.stats.submitted]).toEqual(["tiny@0.0.2", before?.stats.submitted]);
  });

  it("is let go by its id: 1 of 1, and another id is refused", async () => {
    const models = await open();
    await models.change(second, { mode: "canary", share: 1 });
    expect(modelsOf([await models.submit("a", window(0))])).toEqual(["tiny@0.0.2"]);

    expect(() => models.discard("tiny@0.0.1")).toThrow("tiny@0.0.1 is no candidate");
    models.discard("tiny@0.0.2");

    expect(modelsOf([await models.submit("a", window(1))])).toEqual(["tiny@0.0.1"]);
    expect(models.stats.estimated).toBe(2);
  });
});

describe("ModelHost: a shadow", () => {
  it("is not heard, and agrees on 20 of 20 windows when its weights are the same", async () => {
    const models = await open();
    await models.change(second, { mode: "shadow" });

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => {
        const one = window(i);
        return models.submit("a", { ...one, shadowFeatures: one.features });
      }),
    );
    while ((models.describe()[1]?.comparison?.compared ?? 0) < 20) await settle();

    expect(new Set(modelsOf(answers))).toEqual(new Set(["tiny@0.0.1"]));
    expect(models.describe()[1]).toMatchObject({
      id: "tiny@0.0.2",
      mode: "shadow",
      comparison: { compared: 20, agreed: 20, missed: 0, meanDistance: expect.closeTo(0, 5) },
    });
    // What nobody heard does not count.
    expect(models.stats.submitted).toBe(20);
  });

  it("asks for windows on its own scale beside the live one's, the same 1 object until something changes", async () => {
    const models = await open();
    const { mean } = first.manifest.normalisation;
    const third = await variant("0.0.3", {
      normalisation: { ...first.manifest.normalisation, mean: mean.map((value) => value + 1) },
    });
    expect(models.scalesOf("a")).toEqual({ own: first.manifest.normalisation, shadow: undefined });

    await models.change(third, { mode: "shadow" });
    const scales = models.scalesOf("a");

    expect(scales.shadow?.mean[0]).toBe((mean[0] ?? 0) + 1);
    expect(models.scalesOf("b")).toBe(scales);
    await models.change(third, { mode: "canary", share: 1 });
    expect(models.scalesOf("a").own.mean[0]).toBe((mean[0] ?? 0) + 1);
    expect(modelShape(third.manifest)).toEqual(modelShape(first.manifest));
  });
});

describe("ShadowComparison", () => {
  it("counts 1 window on which 2 models disagree by a distance of 0.3, and 1 that one of them dropped", async () => {
    const comparison = new ShadowComparison();
    const dropped: DroppedWindow = { ...windowInfoAt(1), kind: "dropped", reason: "deadline" };

    comparison.compare(
      Promise.resolve(estimateAt(0, [0.6, 0.3, 0.1])),
      Promise.resolve(estimateAt(0, [0.3, 0.6, 0.1])),
    );
    comparison.compare(Promise.resolve(estimateAt(1, [1, 0, 0])), Promise.resolve(dropped));
    await settle();

    expect(comparison.figures).toEqual({
      compared: 1,
      agreed: 0,
      meanDistance: expect.closeTo(0.3, 6),
      missed: 1,
    });
  });
});
