import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import type { z } from "zod";
import type { ModelManifest } from "../../src/core/model.ts";
import {
  bundledModels,
  defaultModelDir,
  findModel,
  loadModelPackage,
  type modelManifestSchema,
  parseManifest,
} from "../../src/inference/index.ts";
import { SMALL_MANIFEST, TINY_MODEL_DIR } from "./fixtures.ts";

/** The small manifest with one field, named by its path, replaced (or removed when `value` is undefined). */
function spoilt(path: string, value: unknown): string {
  const manifest: unknown = JSON.parse(JSON.stringify(SMALL_MANIFEST));
  const names = path.split(".");
  const last = names.pop() ?? "";
  let target = manifest as Record<string, unknown>;
  for (const name of names) target = target[name] as Record<string, unknown>;
  target[last] = value;
  return JSON.stringify(manifest);
}

describe("parseManifest()", () => {
  it("has exactly the type of ModelManifest, all 16 fields of it", () => {
    expectTypeOf<z.output<typeof modelManifestSchema>>().toEqualTypeOf<ModelManifest>();
    expect(Object.keys(parseManifest(JSON.stringify(SMALL_MANIFEST)))).toHaveLength(16);
  });

  it("gives back 1 manifest as it was written", () => {
    expect(parseManifest(JSON.stringify(SMALL_MANIFEST))).toEqual(SMALL_MANIFEST);
  });

  it.each([
    [
      "format",
      "tonetap-model/2",
      'format must be "tonetap-model/1" (the only format this version reads), got "tonetap-model/2"',
    ],
    ["name", "Tone Tap", 'name must be lower-case letters, digits and dashes, 1–64 of them, got "Tone Tap"'],
    ["version", "1.0", 'version must be a semantic version such as 1.0.0, got "1.0"'],
    ["description", undefined, "description must be a text, got nothing"],
    ["licence", "free for all", 'licence must be an SPDX id or LicenseRef-…, got "free for all"'],
    [
      "files.onnx",
      "../model.onnx",
      'files.onnx must be a plain file name ending in .onnx, got "../model.onnx"',
    ],
    ["features.hopLength", 800, "features.hopLength must be a whole number 16–400, got 800"],
    ["features.chroma", 6, "features.chroma must be 0 or 12, got 6"],
    ["features.delta", "yes", 'features.delta must be true or false, got "yes"'],
    ["window.frames", 0, "window.frames must be a whole number 1–6000, got 0"],
    ["window.minFrames", 5, "window.minFrames must be at most window.frames, 4, got 5"],
    ["normalisation.mean", [1, 2], 'normalisation.mean must be 13 numbers, one a feature, got "2 numbers"'],
    ["normalisation.std", new Array(13).fill(0), "normalisation.std.0 must be a number above 0, got 0"],
    ["normalisation.kind", "speaker", "normalisation.priorFrames must be at least 1, got 0"],
    ["tensors.mask", "features", "tensors must be three names different from each other"],
    ["labels", ["calm", "glad", "glad"], "labels must be different from each other"],
    [
      "labels",
      ["calm", "glad", "sad"],
      'affect must be one entry a label (calm, glad, sad), got ["calm","glad","cross"]',
    ],
    ["labels", ["calm"], 'labels must be 2–64 labels, got "1 labels"'],
    ["affect.glad.arousal", 2, "affect.glad.arousal must be −1…1, got 2"],
    ["temperature", 0, "temperature must be 0.01–100, got 0"],
    ["abstainBelow", 1.5, "abstainBelow must be 0–1, got 1.5"],
    ["corpora", "RAVDESS", 'corpora must be an array of texts, got "RAVDESS"'],
    ["licens", "MIT", "unknown field licens"],
    ["window.hop", 3, "unknown field window.hop"],
  ])("refuses 1 wrong field, %s = %j, naming the range and the value", (path, value, message) => {
    expect(() => parseManifest(spoilt(path, value), "m/model.json")).toThrow(
      expect.objectContaining({
        code: "invalid-argument",
        message: expect.stringContaining(`m/model.json: `),
      }),
    );
    expect(() => parseManifest(spoilt(path, value))).toThrow(message);
  });

  it("names 2 wrong fields at once", () => {
    const twice = spoilt("temperature", -1).replace('"version":"1.0.0"', '"version":"one"');

    expect(() => parseManifest(twice)).toThrow(/version must be .*; temperature must be /);
  });

  it.each([
    ["", /is not JSON/],
    ["[1]", /the file must be an object, got \[1\]/],
  ])("refuses text that is no object: %j (1 case)", (text, message) => {
    expect(() => parseManifest(text)).toThrow(message);
  });
});

describe("loadModelPackage()", () => {
  let dir = "";
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "tonetap-model-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it("reads the tiny package: 7 labels, an absolute ONNX path, its id", async () => {
    const model = await loadModelPackage(relative(process.cwd(), TINY_MODEL_DIR));

    expect(model.manifest.labels).toHaveLength(7);
    expect(model.onnxPath).toBe(join(TINY_MODEL_DIR, "model.onnx"));
    expect(model.id).toBe(`tiny@${model.manifest.version}`);
  });

  it("names the folder that is missing (1 of 3 things that can be)", async () => {
    const missing = join(dir, "none");

    await expect(loadModelPackage(missing)).rejects.toMatchObject({
      code: "not-found",
      message: `no model package at ${missing}: the folder does not exist`,
    });
  });

  it("names the manifest that is missing (2 of 3)", async () => {
    await expect(loadModelPackage(dir)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`cannot read ${join(dir, "model.json")}`),
    });
  });

  it("names the ONNX file that is missing (3 of 3)", async () => {
    await copyFile(join(TINY_MODEL_DIR, "model.json"), join(dir, "model.json"));

    await expect(loadModelPackage(dir)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`files.onnx names model.onnx, which is not in ${dir}`),
    });
  });

  it("names the file in an error of 1 field", async () => {
    const text = await readFile(join(TINY_MODEL_DIR, "model.json"), "utf8");
    await writeFile(join(dir, "model.json"), text.replace('"temperature": 1.0', '"temperature": 1000'));

    await expect(loadModelPackage(dir)).rejects.toThrow(
      /model\.json: temperature must be 0\.01–100, got 1000/,
    );
  });

  it("stops when aborted, within 1 read", async () => {
    await expect(loadModelPackage(TINY_MODEL_DIR, AbortSignal.abort())).rejects.toMatchObject({
      code: "closed",
    });
  });
});

describe("findModel()", () => {
  it("finds each bundled model by its name, 1 of them the default", async () => {
    const names = await bundledModels();

    expect(names).toContain("tonetap-base");
    expect(await findModel("tonetap-base")).toBe(defaultModelDir());
    for (const name of names) {
      expect((await loadModelPackage(await findModel(name))).manifest.name).toBe(name);
    }
  });

  it("takes 1 path as it is", async () => {
    expect(`${await findModel(TINY_MODEL_DIR)}/`).toBe(TINY_MODEL_DIR);
  });

  it.each(["no-such-model", "./no-such-model", "/no/such/model"])(
    "lists what is bundled when there is no %s (0 found)",
    async (name) => {
      await expect(findModel(name)).rejects.toMatchObject({
        code: "not-found",
        message: expect.stringMatching(/neither a folder nor a bundled model \(.*tonetap-base/),
      });
    },
  );
});
