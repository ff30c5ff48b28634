/** Writes docs/openapi.json off the operations in src/openapi.ts. With --check it only compares, and fails on drift. */
import { readFileSync, writeFileSync } from "node:fs";
import { openApiDocument } from "../src/openapi.ts";

const FILE = new URL("../docs/openapi.json", import.meta.url);

/** The whole file. */
export const openApiFile = (): string => `${JSON.stringify(openApiDocument(), undefined, 2)}\n`;

if (import.meta.main) {
  if (process.argv.includes("--check")) {
    if (readFileSync(FILE, "utf8") !== openApiFile()) {
      console.error("docs/openapi.json differs from src/openapi.ts: run npm run generate");
      process.exitCode = 1;
    }
  } else writeFileSync(FILE, openApiFile());
}
