/** Reads and checks a model package: a folder with `model.json` and an ONNX file. Running it is a backend's work. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { TonetapError } from "../core/errors.ts";
import { assertFeatureSpec, featureChannels } from "../core/feature-spec.ts";
import { type ModelManifest, modelId } from "../core/model.ts";

/** A package that passed every check. */
export interface ModelPackage {
  readonly manifest: ModelManifest;
  /** Absolute. */
  readonly onnxPath: string;
  /** Absolute paths of a streaming model's two parts. */
  readonly streamingPaths?: { readonly encoder: string; readonly head: string };
  /** `name@version` */
  readonly id: string;
}

const DEFAULT_MODEL = "tonetap-base";
// src/inference and dist/inference both lie two folders below the package's root.
const MODELS_DIR = fileURLToPath(new URL("../../models/", import.meta.url));

// Every message completes "<field> must be …".
const number = (want: string, min: number, max: number) => z.number(want).min(min, want).max(max, want);
const whole = (want: string, min: number, max: number) => z.int(want).min(min, want).max(max, want);
const text = (want: string, pattern: RegExp) => z.string(want).regex(pattern, want);
const flag = z.boolean("true or false");
const line = text("a text", /\S/);
const numbers = (want: string, min: number) =>
  z.array(number(want, min, Number.MAX_VALUE), "an array of numbers").readonly();
const lines = (want: string) => z.array(line, want).readonly();
const object = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape, "an object").readonly();

// Ranges that depend on each other are assertFeatureSpec's.
const finite = number("a number", -Number.MAX_VALUE, Number.MAX_VALUE);
const featuresSchema = object({
  extractor: z.enum(["tonetap", "meyda"], "tonetap or meyda"),
  sampleRateHz: finite,
  frameLength: finite,
  hopLength: finite,
  fftSize: finite,
  melBands: finite,
  melLowHz: finite,
  melHighHz: finite,
  mfcc: finite,
  mfccTopDb: finite.optional(),
  delta: flag,
  delta2: flag,
  deltaWidth: finite,
  logMel: flag,
  chroma: z.union([z.literal(0), z.literal(12)], "0 or 12"),
  humHz: finite.optional(),
  logEnergy: flag,
});

const onnxFile = text("a plain file name ending in .onnx", /^[\w-][\w.-]*\.onnx$/);

const streamingSchema = object({
  strideFrames: whole("a whole number of frames 1–100", 1, 100),
  stateSize: whole("a whole number of floats 1–1048576", 1, 1 << 20),
  embeddingChannels: whole("a whole number 1–4096", 1, 4_096),
  steps: whole("a whole number 1–6000", 1, 6_000),
});

/** `model.json`, field by field; its output type is exactly {@link ModelManifest}. */
export const modelManifestSchema = object({
  format: z.literal("tonetap-model/1", '"tonetap-model/1" (the only format this version reads)'),
  name: text("lower-case letters, digits and dashes, 1–64 of them", /^[a-z0-9][a-z0-9-]{0,63}$/),
  version: text(
    "a semantic version such as 1.0.0",
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/,
  ),
  description: z.string("a text"),
  licence: text("an SPDX id or LicenseRef-…", /^[0-9A-Za-z][0-9A-Za-z.+-]*$/),
  files: object({ onnx: onnxFile, encoder: onnxFile.optional(), head: onnxFile.optional() }),
  features: featuresSchema,
  window: object({
    frames: whole("a whole number 1–6000", 1, 6_000),
    minFrames: whole("a whole number 1–6000", 1, 6_000),
  }),
  normalisation: object({
    kind: z.enum(["global", "speaker"], "global or speaker"),
    mean: numbers("a finite number", -Number.MAX_VALUE),
    std: numbers("a number above 0", Number.MIN_VALUE),
    priorFrames: number("a number of frames, 0 or more", 0, Number.MAX_VALUE),
    maxFrames: number("a number of frames, 0 or more", 0, Number.MAX_VALUE),
  }),
  tensors: object({ features: line, mask: line, logits: line }),
  streaming: streamingSchema.optional(),
  labels: lines("an array of texts"),
  temperature: number("0.01–100", 0.01, 100),
  abstainBelow: number("0–1", 0, 1),
  affect: z
    .record(
      z.string(),
      object({ valence: number("−1…1", -1, 1), arousal: number("−1…1", -1, 1) }),
      "an object with one entry a label",
    )
    .readonly(),
  corpora: lines("an array of texts"),
  metrics: z.record(z.string(), z.unknown(), "an object").readonly(),
});

/** The bundled model that is used when none is named. */
export const defaultModelDir = (): string => join(MODELS_DIR, DEFAULT_MODEL);

/**
 * Turns what a user wrote into a package folder: a bundled model's name, or a path (relative to the working directory).
 * @param further folders to look at after the bundled ones
 * @param paths whether paths may be given; else names only
 * @throws TonetapError not-found, listing the bundled models
 */
export async function findModel(
  nameOrDir: string,
  further: readonly string[] = [],
  paths = true,
): Promise<string> {
  const isName = /^[a-z0-9][a-z0-9-]*$/.test(nameOrDir);
  const candidates = [
    ...(isName ? [join(MODELS_DIR, nameOrDir)] : []),
    ...further,
    ...(paths ? [resolve(nameOrDir)] : []),
  ];
  for (const dir of candidates) {
    if (await isKind(dir, "directory")) return dir;
  }
  const bundled = await bundledModels();
  throw new TonetapError(
    "not-found",
    `no model package ${JSON.stringify(nameOrDir)}: it is neither a folder nor a bundled model (${bundled.join(", ") || "none is bundled"})`,
  );
}

/** Names of the models that ship with this package. */
export async function bundledModels(): Promise<string[]> {
  if (!(await isKind(MODELS_DIR, "directory"))) return [];
  const entries = await readdir(MODELS_DIR, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

/**
 * Reads and checks a model package. Its ONNX file is checked for presence here, and for its tensors when a backend loads it.
 * @param signal aborts reading
 * @throws TonetapError not-found (folder or file), invalid-argument (naming file, field, range and value), closed (aborted)
 */
export async function loadModelPackage(dir: string, signal?: AbortSignal): Promise<ModelPackage> {
  const root = resolve(dir);
  if (!(await isKind(root, "directory"))) {
    throw new TonetapError("not-found", `no model package at ${root}: the folder does not exist`);
  }
  const file = join(root, "model.json");
  const manifest = parseManifest(await readText(file, signal), `${basename(root)}${sep}model.json`);
  const { files, streaming } = manifest;
  const named = { "files.onnx": files.onnx, "files.encoder": files.encoder, "files.head": files.head };
  for (const [field, name] of Object.entries(named)) {
    if (name === undefined || (await isKind(join(root, name), "file"))) continue;
    throw new TonetapError(
      "not-found",
      `${basename(root)}${sep}model.json: ${field} names ${name}, which is not in ${root}`,
    );
  }
  return {
    manifest,
    onnxPath: join(root, files.onnx),
    ...(streaming && {
      streamingPaths: { encoder: join(root, files.encoder ?? ""), head: join(root, files.head ?? "") },
    }),
    id: modelId(manifest),
  };
}

/**
 * Checks the text of a `model.json`.
 * @param file named in errors
 * @throws TonetapError invalid-argument
 */
export function parseManifest(json: string, file = "model.json"): ModelManifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw TonetapError.from(error, "invalid-argument", `${file} is not JSON`);
  }
  const parsed = modelManifestSchema.safeParse(value, { reportInput: true });
  const problems = parsed.success ? contradictions(parsed.data) : parsed.error.issues.map(describeIssue);
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new TonetapError("invalid-argument", `${file}: ${problems.join("; ")}`);
}

/** What no single field shows: fields that disagree with each other. */
function contradictions(manifest: ModelManifest): string[] {
  try {
    assertFeatureSpec(manifest.features);
  } catch (error) {
    return [TonetapError.from(error).message];
  }
  const { normalisation, window, labels, affect, tensors } = manifest;
  const channels = featureChannels(manifest.features);
  const problems: string[] = [];
  const expect = (ok: boolean, field: string, want: string, got: unknown): void => {
    if (!ok) problems.push(`${field} must be ${want}, got ${JSON.stringify(got)}`);
  };
  for (const field of ["mean", "std"] as const) {
    const { length } = normalisation[field];
    expect(
      length === channels,
      `normalisation.${field}`,
      `${channels} numbers, one a feature`,
      `${length} numbers`,
    );
  }
  if (normalisation.kind === "speaker") {
    expect(
      normalisation.priorFrames >= 1,
      "normalisation.priorFrames",
      "at least 1",
      normalisation.priorFrames,
    );
    expect(normalisation.maxFrames >= 1, "normalisation.maxFrames", "at least 1", normalisation.maxFrames);
  }
  expect(
    window.minFrames <= window.frames,
    "window.minFrames",
    `at most window.frames, ${window.frames}`,
    window.minFrames,
  );
  expect(labels.length >= 2 && labels.length <= 64, "labels", "2–64 labels", `${labels.length} labels`);
  expect(new Set(labels).size === labels.length, "labels", "different from each other", labels);
  expect(
    labels.every((label) => Object.hasOwn(affect, label)) && Object.keys(affect).length === labels.length,
    "affect",
    `one entry a label (${labels.join(", ")})`,
    Object.keys(affect),
  );
  for (const part of ["encoder", "head"] as const) {
    const file = manifest.files[part];
    const want = manifest.streaming === undefined ? "given with streaming only" : "the name of a file";
    expect((file !== undefined) === (manifest.streaming !== undefined), `files.${part}`, want, file);
  }
  if (manifest.streaming !== undefined) {
    const { strideFrames, steps } = manifest.streaming;
    expect(
      strideFrames * steps === window.frames,
      "streaming.steps",
      `window.frames / strideFrames, ${window.frames} / ${strideFrames}`,
      steps,
    );
    expect(
      window.minFrames % strideFrames === 0,
      "window.minFrames",
      `a multiple of streaming.strideFrames, ${strideFrames}`,
      window.minFrames,
    );
  }
  expect(
    new Set(Object.values(tensors)).size === 3,
    "tensors",
    "three names different from each other",
    tensors,
  );
  return problems;
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    return `unknown field ${issue.keys.map((key) => (path === "" ? key : `${path}.${key}`)).join(", ")}`;
  }
  const got = issue.input === undefined ? "nothing" : JSON.stringify(issue.input);
  return `${path === "" ? "the file" : path} must be ${issue.message}, got ${got.length > 80 ? `${got.slice(0, 80)}…` : got}`;
}

async function readText(file: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await readFile(file, { encoding: "utf8", ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (signal?.aborted === true)
      throw new TonetapError("closed", `reading ${file} was aborted`, { cause: error });
    throw TonetapError.from(error, "not-found", `cannot read ${file}`);
  }
}

async function isKind(path: string, kind: "file" | "directory"): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return kind === "file" ? found?.isFile() === true : found?.isDirectory() === true;
}
