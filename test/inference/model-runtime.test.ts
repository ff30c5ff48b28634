/** How many backends a model is given, and what measuring them leads to. Real sessions on the processor. */
import { afterEach, describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { loadModelPackage, ModelHost } from "../../src/inference/index.ts";
import { modelOptions } from "../../src/model-options.ts";
import { TINY_MODEL_DIR, windowAt } from "./fixtures.ts";

const model = await loadModelPackage(TINY_MODEL_DIR);
let host: ModelHost | undefined;

async function open(options: Record<string, unknown>): Promise<ModelHost> {
  const config = parseConfig({ model: { device: "cpu", maxBatch: 8, deadlineMs: 60_000, ...options } });
  host = await ModelHost.open(model, await modelOptions(config));
  return host;
}

afterEach(async () => {
  await host?.close();
  host = undefined;
});

describe("the backends of a model", () => {
  it("are 2 on each of 2 devices: 4 that judge 4 windows side by side", async () => {
    const models = await open({ deviceIds: [0, 1], workers: 2, maxDelayMs: 0 });

    const answers = [0, 1, 2, 3].map((i) =>
      models.submit(`call ${i}`, windowAt(i, Math.sin, model.manifest)),
    );
    const { inFlight, queued, batches } = models.stats;

    expect(models.describeBackends().map(({ provider, state }) => `${provider} ${state}`)).toEqual(
      new Array(4).fill("cpu ready"),
    );
    // None waits for another: each has gone to a backend that was idle.
    expect([inFlight, queued, batches]).toEqual([4, 0, 0]);
    expect((await Promise.all(answers)).map(({ kind }) => kind)).toEqual(new Array(4).fill("estimate"));
    expect(models.stats.batchSizes).toEqual([0, 4, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("are measured for a target of 60 s, and the plan is told: 1 of the 4 sizes measured", async () => {
    const models = await open({ latencyTargetMs: 60_000, maxDelayMs: 7, busyDelayMs: 9 });
    const [{ plan } = {}] = models.describe();

    expect([1, 2, 4, 8]).toContain(plan?.maxBatch);
    expect(plan).toMatchObject({ maxDelayMs: plan?.maxBatch === 1 ? 0 : 9, meetsTarget: true });
    expect(plan?.longestMs).toBeLessThanOrEqual(60_000);
    expect(models.stats.batchSizes).toHaveLength((plan?.maxBatch ?? 0) + 1);
    expect(models.stats.delayMs).toBe(plan?.maxBatch === 1 ? 0 : 7);
  });

  it("are not measured without a target: 0 plans", async () => {
    const models = await open({});

    expect(models.describe().map(({ plan }) => plan)).toEqual([undefined]);
  });
});
