import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tone, wav } from "../support/wav.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TINY = join(ROOT, "test", "fixtures", "tiny-model");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of training/ as npm does, with the Node that runs the tests. */
function run(script: string, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(ROOT, "training", script), ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
    });
  });
}

describe("npm run evaluate and npm run features", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-"));
    await mkdir(join(folder, "mine"));
    for (const [name, hz] of [
      ["a", 140],
      ["b", 180],
      ["c", 220],
      ["d", 260],
    ] as const) {
      await writeFile(join(folder, "mine", `${name}.wav`), wav([tone(hz, 16_000, 1.5)], 16_000, 16));
    }
    await writeFile(join(folder, "mine", "broken.wav"), "RIFF, but no sound");
    await writeFile(
      join(folder, "mine", "manifest.csv"),
      [
        "file,speaker,emotion",
        "a.wav,s1,angry",
        "b.wav,s1,calm",
        "c.wav,s2,sad",
        "d.wav,s2,grumpy",
        "d.wav,s2,boredom",
        "broken.wav,s2,sad",
        "gone.wav,s2,sad",
      ].join("\n"),
    );
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("judges the 3 recordings that can be, names the 4 others, and ends with 1", async () => {
    const manifest = join(folder, "mine", "manifest.csv");
    const { code, stdout, stderr } = await run(
      "evaluate.ts",
      "--manifest",
      manifest,
      "--model",
      TINY,
      "--json",
    );
    const result = JSON.parse(stdout);
    expect(result.model).toBe("tiny@0.0.1");
    expect(result.corpora).toHaveLength(1);
    expect(result.corpora[0]).toMatchObject({ corpus: "mine", speakers: 2 });
    expect(result.corpora[0].figures.cold).toMatchObject({
      recordings: 3,
      labels: ["angry", "neutral", "sad"],
    });
    expect(stderr).toMatch(/d\.wav: unknown emotion "grumpy"/);
    expect(stderr).toMatch(/d\.wav: the model has no label boredom/);
    expect(stderr).toMatch(/broken\.wav: .*broken\.wav/);
    expect(stderr).toMatch(/gone\.wav: .*gone\.wav/);
    expect(stderr).toMatch(/^4 left out$/m);
    expect(code).toBe(1);
  });

  it("ends with 2 and names the column that a manifest lacks", async () => {
    await writeFile(join(folder, "bad.csv"), "file,speaker\na.wav,s1\n");
    const { code, stderr } = await run("evaluate.ts", "--manifest", join(folder, "bad.csv"));
    expect(stderr).toMatch(/lacks the column emotion/);
    expect(code).toBe(2);
  });

  it("without a corpus prints the bundled model's recorded UAR of at least 5 corpora, and that it is recorded", async () => {
    const { code, stdout } = await run("evaluate.ts");
    expect(code).toBe(0);
    expect(stdout).toMatch(/recorded figures, not measured now/);
    for (const corpus of ["ravdess", "savee", "emovo", "emodb", "tess"]) {
      expect(stdout).toMatch(new RegExp(`^${corpus}\\s+\\d+`, "m"));
    }
  });

  it("writes the features of 4 files through 2 lines in manifest order, names 2 bad files and a bad line", async () => {
    const out = join(folder, "features");
    const { code, stderr } = await run("features.ts", "--line", "clean,g711@0.9", "--out", out, folder);
    expect(stderr).toMatch(/broken\.wav/);
    expect(stderr).toMatch(/gone\.wav/);
    expect(code).toBe(1);
    const clean = JSON.parse(await readFile(join(out, "clean.json"), "utf8"));
    const slow = JSON.parse(await readFile(join(out, "g711@0.9.json"), "utf8"));
    expect(clean.channels).toHaveLength(125);
    expect(clean.clips.map(({ file }: { file: string }) => file)).toEqual([
      "a.wav",
      "b.wav",
      "c.wav",
      "d.wav",
    ]);
    const frames = 1 + Math.floor((24_000 - 400) / 160) - 4;
    expect(clean.clips.map(({ offset }: { offset: number }) => offset)).toEqual(
      [0, 1, 2, 3].map((i) => i * frames),
    );
    expect(slow.clips[0].frames / frames).toBeCloseTo(1 / 0.9, 1);
  });
});
