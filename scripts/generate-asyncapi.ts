/**
 * Writes what docs/ says about events off the code: docs/asyncapi.json, and the examples in docs/events.md.
 * `--check` writes nothing and ends with 1 when they are not up to date. test/events/docs.test.ts does the same.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { eventDocs } from "./event-docs.ts";

const { check } = parseArgs({ options: { check: { type: "boolean" } } }).values;
for (const { url, render } of eventDocs) {
  const before = readFileSync(url, { encoding: "utf8", flag: "a+" });
  const after = render(before);
  if (after === before) continue;
  if (check === true) {
    console.error(`${url.pathname} is not what the code says: run node scripts/generate-asyncapi.ts`);
    process.exitCode = 1;
  } else {
    writeFileSync(url, after);
    console.log(`wrote ${url.pathname}`);
  }
}
