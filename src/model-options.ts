/** What the configuration says of the model, in the terms of the inference folder. */
import { readFile } from "node:fs/promises";
import type { Config } from "./config.ts";
import { TonetapError } from "./core/errors.ts";
import type { ModelRuntimeOptions } from "./inference/index.ts";

/** @throws TonetapError invalid-argument (model.caFile) */
export async function modelOptions({ model, window }: Config): Promise<ModelRuntimeOptions> {
  const { caFile } = model;
  const ca = caFile === "" ? {} : { ca: await readPem(caFile) };
  return { ...model, ...ca, hopMs: window.hopMs, tenantWeights: weights(model.tenantWeights) };
}

async function readPem(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new TonetapError("invalid-argument", `model.caFile ${file} cannot be read`, { cause });
  }
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new TonetapError("invalid-argument", `model.caFile ${file} holds no PEM certificate`);
}

/** `["gold=4"]` → `{gold: 4}`; the schema has checked them. A tenant's name may hold a `=`. */
function weights(entries: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.lastIndexOf("=");
      return [entry.slice(0, at), Number(entry.slice(at + 1))];
    }),
  );
}
