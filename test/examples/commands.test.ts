/** What the documents tell a reader to run, and where they point: scripts that exist, files that are there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { z } from "zod";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const scripts = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(read("package.json")));

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  ...readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("README.md") && !name.includes("node_modules"))
    .map((name) => `examples/${name}`),
];

test("20 documents or more name no npm script that is not there", () => {
  expect(documents.length).toBeGreaterThanOrEqual(20);
  for (const path of documents) {
    const named = [...read(path).matchAll(/\bnpm run (?:-s )?([a-z][\w:-]*)/g)].map(([, name = ""]) => name);
    for (const name of named) expect(Object.keys(scripts.scripts), path).toContain(name);
  }
});

test("every link of 20 documents or more to a file of the repository leads to one, and to a heading that is there", () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
  for (const path of documents) {
    const text = read(path).replaceAll(/```[\s\S]*?```/g, "");
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)].map(
      ([, link, source]) => link ?? source ?? "",
    );
    for (const target of targets) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const found = file === "" ? path : join(dirname(path), decodeURIComponent(file));
      expect(existsSync(join(root, found)), `${path} → ${target}`).toBe(true);
      if (anchor === undefined || !found.endsWith(".md")) continue;
      const headings = [...read(found).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => slug(heading));
      expect(headings, `${path} → ${target}`).toContain(anchor);
    }
  }
});

test("each of the 5 or more examples that the README of examples starts has its script or its file", () => {
  const commands = [...read("examples/README.md").matchAll(/`(npm run example:[\w-]+|python3 [\w/.]+)`/g)];
  expect(commands.length).toBeGreaterThanOrEqual(5);
  const [python] = commands.flatMap(([, command = ""]) =>
    command.startsWith("python3 ") ? [command.slice(8)] : [],
  );
  expect(existsSync(join(root, python ?? ""))).toBe(true);
  const listed = Object.keys(scripts.scripts).filter((name) => name.startsWith("example:"));
  for (const name of listed) expect(read("examples/README.md")).toContain(`npm run ${name}`);
});
