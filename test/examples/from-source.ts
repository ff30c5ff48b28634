/** `node --import` this: examples import the package by name, and get src/ without a build. */
import { registerHooks } from "node:module";

registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== "tonetap/client") return next(specifier, context);
    return { url: new URL("../../src/client/index.ts", import.meta.url).href, shortCircuit: true };
  },
});
