/** What the configuration says of the model, in the terms of the inference folder. */
import type { Config } from "./config.ts";
import type { ModelRuntimeOptions } from "./inference/index.ts";

export function modelOptions({ model }: Config): ModelRuntimeOptions {
  return { ...model, tenantWeights: weights(model.tenantWeights) };
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
