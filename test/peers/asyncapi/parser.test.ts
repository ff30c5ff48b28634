/** The official AsyncAPI parser reads docs/asyncapi.json and has nothing to complain of. */
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";
import { expect, test } from "vitest";

test("the committed document is valid AsyncAPI 3.0 with 28 messages and 0 errors", async () => {
  const text = await readFile(new URL("../../../docs/asyncapi.json", import.meta.url), "utf8");
  const { document, diagnostics } = await new Parser().parse(text);
  expect(diagnostics.filter(({ severity }) => severity === 0)).toEqual([]);
  expect(document?.version()).toBe("3.0.0");
  expect(document?.components().messages().length).toBe(28);
  expect(
    document
      ?.operations()
      .all()
      .map((operation) => operation.action()),
  ).toEqual(["send", "receive"]);
});

test("a document without its title is refused with 1 error or more: the parser does look", async () => {
  const text = await readFile(new URL("../../../docs/asyncapi.json", import.meta.url), "utf8");
  const broken = JSON.parse(text) as { info: { title?: string } };
  delete broken.info.title;
  const { diagnostics } = await new Parser().parse(JSON.stringify(broken));
  expect(diagnostics.some(({ severity }) => severity === 0)).toBe(true);
});
