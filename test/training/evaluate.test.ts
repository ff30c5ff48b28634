import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readAudioFile, resampleTo16k } from "../../src/transport/file/audio-file.ts";
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
        "file,speaker,emotion,sex",
        "a.wav,s1,angry,male",
        "b.wav,s1,calm,male",
        "c.wav,s2,sad,female",
        "d.wav,s2,grumpy,",
        "d.wav,s2,boredom,",
        "broken.wav,s2,sad,",
        "gone.wav,s2,sad,",
      ].join("\n"),
    );
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("judges the 3 recordings that can be, names the 3 that cannot, counts the 1 of boredom, and ends with 1", async () => {
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
      sexes: { male: { recordings: 2, speakers: 1 }, female: { recordings: 1, speakers: 1 } },
    });
    expect(stderr).toMatch(/d\.wav: unknown emotion "grumpy"/);
    expect(result.corpora[0].withoutLabel).toEqual({ boredom: 1 });
    expect(result.corpora[0].countedAs).toEqual({ calm: { label: "neutral", recordings: 1 } });
    expect(stderr).not.toMatch(/left out.*model has no/);
    expect(stderr).toMatch(/broken\.wav: .*broken\.wav/);
    expect(stderr).toMatch(/gone\.wav: .*gone\.wav/);
    expect(stderr).toMatch(/^3 left out$/m);
    expect(code).toBe(1);
  });

  it("judges the 25 sentences of the bundled call by their EMO-DB names, through 2 lines, as on calls", async () => {
    const cut = join(folder, "cut", "wav");
    await mkdir(cut, { recursive: true });
    const demo = join(ROOT, "assets", "demo");
    const { segments } = JSON.parse(await readFile(join(demo, "timeline.json"), "utf8"));
    for (const speaker of ["anna", "ben"]) {
      const call = resampleTo16k(await readAudioFile(join(demo, `${speaker}.opus`)));
      for (const segment of segments.filter((one: { speaker: string }) => one.speaker === speaker)) {
        const sentence = call.subarray(16 * segment.startMs, 16 * segment.endMs);
        await writeFile(join(cut, segment.clip), wav([sentence], 16_000, 16));
      }
    }

    const args = ["--audio", join(folder, "cut"), "--line", "opus24,g711"];
    const { code, stdout, stderr } = await run("evaluate.ts", ...args, "--json");
    expect(stderr).toMatch(/^0 left out$/m);
    expect(code).toBe(0);
    const [corpus] = JSON.parse(stdout).corpora;
    expect(corpus).toMatchObject({ corpus: "emodb", speakers: 2, withoutLabel: {}, countedAs: {} });
    const { warm, cold } = corpus.figures;
    expect(warm.labels).toEqual(["angry", "happy", "neutral", "sad"]);
    expect(warm.confusion.flat().reduce((sum: number, count: number) => sum + count, 0)).toBe(25);
    // The packed model never heard these two voices; four labels by chance would be 0.25.
    expect(Math.min(warm.uar, cold.uar)).toBeGreaterThan(0.6);
    for (const figures of [warm, cold]) {
      for (const score of ["uar", "accuracy", "macroF1"]) {
        const [from, to] = figures.interval[score];
        expect(from).toBeLessThanOrEqual(figures[score]);
        expect(to).toBeGreaterThanOrEqual(figures[score]);
      }
      expect(figures.ece).toBeLessThan(0.5);
      expect(figures.abstention.coverage).toBeGreaterThan(0.5);
    }
    expect(corpus.lines.map(({ line }: { line: string }) => line)).toEqual(["opus24", "g711"]);
    expect(corpus.lines[0].unchanged).toEqual({ warm: 1, cold: 1 });
    expect(corpus.lines[1].unchanged.warm).toBeGreaterThan(0.5);
  });

  it("prints 3 scores with their intervals, the labels that count, and 2 lines side by side", async () => {
    const args = ["--audio", join(folder, "mine"), "--model", TINY, "--line", "clean,gain-20"];
    const { stdout } = await run("evaluate.ts", ...args);
    expect(stdout).toMatch(/^mine: 3 recordings, 2 speakers$/m);
    for (const score of ["UAR", "accuracy \\(WA\\)", "macro-F1"]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${score} +\\d+\\.\\d % {2}\\(\\d+\\.\\d–\\d+\\.\\d\\)`, "m"));
    }
    expect(stdout).toMatch(/disgust, fear, happy, surprise: no recording has them/);
    expect(stdout).toMatch(/calm: 1 recordings count as neutral/);
    expect(stdout).toMatch(/boredom: 1 recordings not judged, the model has no such label/);
    expect(stdout).toMatch(/^ {4}gain-20 .*as before/m);
  });

  it("ends with 2 for a folder of 1 sound that neither a manifest nor their names label", async () => {
    await mkdir(join(folder, "bare"), { recursive: true });
    await writeFile(join(folder, "bare", "a.wav"), wav([tone(140, 16_000, 1)], 16_000, 16));
    const { code, stderr } = await run("evaluate.ts", "--audio", join(folder, "bare"), "--model", TINY);
    expect(code).toBe(2);
    expect(stderr).toMatch(/1 sound files but no manifest\.csv, and their names are not those of RAVDESS/);
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

  it("writes the features of 2 files that only their EMOVO names label", async () => {
    const emovo = join(folder, "EMOVO");
    await mkdir(join(emovo, "f1"), { recursive: true });
    for (const name of ["dis-f1-b1", "gio-f1-l4"]) {
      await writeFile(join(emovo, "f1", `${name}.wav`), wav([tone(200, 16_000, 1)], 16_000, 16));
    }
    const out = join(folder, "features-by-name");
    expect(await run("features.ts", "--out", out, "--mel-bands", "32", emovo)).toMatchObject({ code: 0 });
    expect(await run("features.ts", "--out", out, "--mel-bands", "20", emovo)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("features.mfcc must be a whole number 0–20, got 24"),
    });
    await rm(emovo, { recursive: true });
    const { clips, features } = JSON.parse(await readFile(join(out, "clean.json"), "utf8"));
    expect(features).toMatchObject({
      mfcc: 24,
      mfccTopDb: 30,
      melBands: 32,
      melHighHz: 3_382,
      humHz: 100,
    });
    expect(clips).toMatchObject([
      { file: "f1/dis-f1-b1.wav", corpus: "emovo", speaker: "f1", language: "it", emotion: "disgust" },
      { file: "f1/gio-f1-l4.wav", corpus: "emovo", speaker: "f1", language: "it", emotion: "happy" },
    ]);
  });

  it("writes the features of 4 files through 2 lines in manifest order, names 2 bad files and a bad line", async () => {
    const out = join(folder, "features");
    const { code, stderr } = await run(
      "features.ts",
      "--line",
      "clean,g711@0.9",
      "--out",
      out,
      join(folder, "mine"),
    );
    expect(stderr).toMatch(/broken\.wav/);
    expect(stderr).toMatch(/gone\.wav/);
    expect(code).toBe(1);
    const clean = JSON.parse(await readFile(join(out, "clean.json"), "utf8"));
    const slow = JSON.parse(await readFile(join(out, "g711@0.9.json"), "utf8"));
    expect(clean.channels).toHaveLength(114);
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
