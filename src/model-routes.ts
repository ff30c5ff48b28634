/** REST for the models: which are loaded, load another, let a candidate go. What a change does is inference/model-host.ts. */
import { join } from "node:path";
import { z } from "zod";
import { TonetapError } from "./core/errors.ts";
import type { Engine } from "./engine.ts";
import { type HttpHandler, type HttpServer, jsonBody, jsonResponse } from "./events/index.ts";
import { findModel, loadModelPackage, type ModelMode } from "./inference/index.ts";

const change = z.strictObject({
  package: z
    .string()
    .regex(/^[a-z0-9][\w.-]{0,127}$/, "must be the name of a bundled model or of one in model.folder"),
  mode: z.enum(["live", "canary", "shadow"]).default("live"),
  share: z.number().min(0).max(1).default(0.1),
});

/**
 * - `GET /v1/models`: what is loaded, the live model first.
 * - `GET /v1/models/:id`: what its package says of it (`live`: the live one): labels, corpora, measured figures.
 * - `POST /v1/models` `{"package": "name", "mode": "canary", "share": 0.1}`: loads it and answers when it is in force.
 * - `DELETE /v1/models/:id`: lets a candidate (`name@version`) go.
 */
export function addModelRoutes(http: HttpServer, engine: Engine): void {
  const list = () => ({ models: engine.models.describe() });
  http.route("GET", "/v1/models", () => jsonResponse(list()));
  const card: HttpHandler = ({ params }) => {
    const id = params.id === "live" ? engine.models.id : (params.id ?? "");
    const manifest = engine.models.manifestOf(id);
    if (manifest === undefined) throw new TonetapError("not-found", "there is no such model now");
    const { name, version, description, licence, labels, abstainBelow, corpora, metrics } = manifest;
    return jsonResponse({ id, name, version, description, licence, labels, abstainBelow, corpora, metrics });
  };
  // What everyone may know who reads what the model says.
  http.route("GET", "/v1/models/:id", card, { access: "events:read" });
  http.route("POST", "/v1/models", async (request) => {
    const wanted = change.safeParse(jsonBody(request));
    if (!wanted.success) {
      const reasons = wanted.error.issues.map(
        ({ path, message }) => `${path.join(".") || "the body"}: ${message}`,
      );
      throw new TonetapError("invalid-argument", reasons.join("; "));
    }
    const { package: name, mode, share } = wanted.data;
    // A client that goes away does not stop the change: others may have asked for it too.
    await changeModel(engine, { name, mode, share });
    return jsonResponse(list());
  });
  http.route("DELETE", "/v1/models/:id", ({ params }) => {
    engine.models.discard(params.id ?? "");
    return jsonResponse(list());
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
