/** `node --import` this: examples import the package by name, and get src/ without a build. */
import { registerHooks } from "node:module";

const SOURCES: Readonly<Record<string, string>> = {
  tonetap: "../../src/index.ts",
  "tonetap/client": "../../src/client/index.ts",
};

registerHooks({
  resolve(specifier, context, next) {
    const source = SOURCES[specifier];
    if (source === undefined) return next(specifier, context);
    return { url: new URL(source, import.meta.url).href, shortCircuit: true };
  },
});
