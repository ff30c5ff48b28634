/** REST for the models: which are loaded, load another, let a candidate go. What a change does is inference/model-host.ts. */
import { join } from "node:path";
import { z } from "zod";
import { TonetapError } from "./core/errors.ts";
import type { Engine } from "./engine.ts";
import { type AnyOperation, type HttpServer, jsonResponse, operation } from "./events/index.ts";
import { findModel, loadModelPackage, type ModelMode } from "./inference/index.ts";

const latency = (what: string) =>
  z.object({ p50Ms: z.number().describe("Median"), p99Ms: z.number() }).describe(`${what}, ms.`);
const counted = z.int().min(0);
const share = z.number().min(0).max(1);

const batcherStats = z
  .object({
    submitted: counted.describe("Windows since the model was loaded."),
    estimated: counted.describe("Of those, judged."),
    dropped: z.object({ overload: counted, deadline: counted, backend: counted, closed: counted }),
    batches: counted,
    inferenceMs: z.number().min(0).describe("Time that all batches took in the model, ms."),
    batchSizes: z.array(counted).describe("Entry n: batches of n windows."),
    queued: counted.describe("Windows waiting now."),
    queueLimit: counted,
    delayMs: z
      .number()
      .min(0)
      .describe("How long the oldest of them waits for batch-mates now; longer on a busy machine."),
    inFlight: counted.describe("Windows in the model now."),
    backendsUp: counted,
    backends: counted,
    wait: latency("Wait for batch-mates"),
    inference: latency("A batch's time in the model"),
    lastError: z.string().describe("Why a batch failed, the last time; empty if none did."),
  })
  .meta({ id: "BatcherStats" });

const backend = z
  .object({
    engine: z.string().describe("Runtime and its version."),
    state: z.enum(["new", "loading", "ready", "restarting", "failed", "closed"]),
    requested: z.enum(["auto", "cpu", "cuda", "webgpu", "tensorrt", "wasm"]).describe("What was asked for."),
    device: z.enum(["cpu", "gpu", "remote", "none"]),
    provider: z.string().describe("Execution provider in use, or the server asked."),
    tried: z
      .array(z.object({ provider: z.string(), reason: z.string() }))
      .describe("Devices tried before that one."),
    threads: counted,
    model: z.string().describe("`name@version`."),
    restarts: counted,
    lastError: z.string(),
  })
  .describe("What runs a model.")
  .meta({ id: "Backend" });

const plan = z
  .object({
    maxBatch: counted,
    maxDelayMs: z.number().min(0).describe("What a window waits for batch-mates at most, on a busy machine."),
    longestMs: z.number().describe("From a window's coming to its answer while the device keeps up."),
    meetsTarget: z.boolean().describe("Whether that is within the target."),
  })
  .describe("What measuring the device for `model.latencyTargetMs` led to.")
  .meta({ id: "BatchPlan" });

const models = z.object({
  models: z
    .array(
      z
        .object({
          id: z.string().describe("`name@version`."),
          mode: z.enum(["live", "canary", "shadow"]),
          share: share.describe("Of the calls; of a shadow, the share that it looks at."),
          backends: z.array(backend),
          stats: batcherStats,
          plan: plan.optional(),
          comparison: z
            .object({
              compared: counted.describe("Windows that both judged."),
              agreed: counted.describe("Of those, with the same label on top."),
              meanDistance: share.describe("Of their probabilities: half the sum of the differences."),
              missed: counted.describe("Windows that one of them did not judge."),
            })
            .optional()
            .describe("Of a shadow with the live model."),
        })
        .meta({ id: "Model" }),
    )
    .describe("The live model first."),
});

const card = z
  .object({
    id: z.string(),
    name: z.string(),
    version: z.string(),
    description: z.string(),
    licence: z.string().describe("Of the weights: SPDX, or `LicenseRef-…`."),
    labels: z.array(z.string()),
    abstainBelow: share.describe("Below this top probability it abstains."),
    corpora: z.array(z.string()).describe("What it was trained on."),
    metrics: z.record(z.string(), z.unknown()).describe("Measured figures, free-form."),
  })
  .describe("What a model's package says of it.")
  .meta({ id: "ModelCard" });

const change = z
  .strictObject({
    package: z
      .string()
      .regex(/^[a-z0-9][\w.-]{0,127}$/, "must be the name of a bundled model or of one in model.folder")
      .describe("A bundled model's name, or that of a folder in `model.folder`."),
    mode: z
      .enum(["live", "canary", "shadow"])
      .default("live")
      .describe(
        "`live`: takes over. `canary`: judges a share of the calls. `shadow`: is compared, and not heard.",
      ),
    share: share.default(0.1).describe("Of the calls, for the latter two."),
  })
  .meta({ id: "ModelChange" });

const OF_MODELS = { tag: "models", access: "admin" } as const;

const listModels = operation({
  ...OF_MODELS,
  id: "listModels",
  method: "GET",
  path: "/v1/models",
  summary: "Models that are loaded",
  answers: { 200: { meaning: "The live one, and a candidate.", schema: models } },
});

const getModel = operation({
  tag: "models",
  id: "getModel",
  method: "GET",
  path: "/v1/models/:id",
  params: { id: "`name@version`, or `live`." },
  // What everyone may know who reads what the model says.
  access: "events:read",
  summary: "What a model's package says of it",
  answers: { 200: { meaning: "Labels, corpora, measured figures.", schema: card } },
  problems: ["not-found"],
});

const loadModel = operation({
  ...OF_MODELS,
  id: "loadModel",
  method: "POST",
  path: "/v1/models",
  summary: "Load a model while calls go on",
  description: "Answers when it is in force. A client that goes away does not stop the change.",
  body: change,
  answers: { 200: { meaning: "What is loaded now.", schema: models } },
  problems: ["not-found", "conflict", "unavailable"],
});

const discardModel = operation({
  ...OF_MODELS,
  id: "discardModel",
  method: "DELETE",
  path: "/v1/models/:id",
  params: { id: "`name@version` of a candidate." },
  summary: "Let a candidate go",
  answers: { 200: { meaning: "What is loaded now.", schema: models } },
  problems: ["not-found", "conflict"],
});

export const modelOperations: readonly AnyOperation[] = [listModels, getModel, loadModel, discardModel];

export function addModelRoutes(http: HttpServer, engine: Engine): void {
  const list = () => jsonResponse({ models: engine.models.describe() });
  http.serve(listModels, list);
  http.serve(getModel, ({ params }) => {
    const id = params.id === "live" ? engine.models.id : (params.id ?? "");
    const manifest = engine.models.manifestOf(id);
    if (manifest === undefined) throw new TonetapError("not-found", "there is no such model now");
    const { name, version, description, licence, labels, abstainBelow, corpora, metrics } = manifest;
    return jsonResponse({ id, name, version, description, licence, labels, abstainBelow, corpora, metrics });
  });
  http.serve(loadModel, async ({ json: { package: name, mode, share } }) => {
    await changeModel(engine, { name, mode, share });
    return list();
  });
  http.serve(discardModel, ({ params }) => {
    engine.models.discard(params.id ?? "");
    return list();
  });
}

/** Over HTTP only names can be given: a bundled model's, or one in the operator's own folder. */
async function changeModel(
  { models, config }: Engine,
  { name, mode, share }: { readonly name: string; readonly mode: ModelMode; readonly share: number },
): Promise<void> {
  const { folder } = config.model;
  const model = await loadModelPackage(
    await findModel(name, folder === "" ? [] : [join(folder, name)], false),
  );
  await models.change(model, { mode, share });
}

/**
 * Reads the configured package anew and lets it take over if it is another version.
 * @returns what came of it, in words
 */
export async function reloadModel({ models, config }: Engine): Promise<string> {
  const model = await loadModelPackage(await findModel(config.model.package));
  if (model.id === models.id) return `${model.id} is in force already`;
  await models.change(model, { mode: "live" });
  return `${model.id} is in force`;
}
