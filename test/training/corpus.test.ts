import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WorkerPool } from "../../training/worker-pool.ts";
import { tone, wav } from "../support/wav.ts";

const SCRIPT = fileURLToPath(new URL("../../training/corpus.ts", import.meta.url));
const RATE = 16_000;

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
    });
  });
}

/** A voice-like sound, different for each seed, that swells and dies away. */
function swell(seed: number, seconds = 1): Float32Array {
  const sound = tone(110 + 31 * seed, RATE, seconds, 0.4);
  return sound.map((sample, i) => {
    const t = i / sound.length;
    return sample * Math.sin(Math.PI * t) ** 2 * (1 + Math.sin(2 * Math.PI * (2 + seed) * t + seed));
  });
}

describe("npm run corpus", () => {
  let root = "";
  const put = (folder: string, file: string, samples: Float32Array): Promise<void> =>
    writeFile(join(root, folder, file), wav([samples.map((s) => Math.max(-1, Math.min(1, s)))], RATE, 16));

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "tonetap-"));
    await mkdir(join(root, "emovo", "f1"), { recursive: true });
    const silent = new Float32Array(RATE);
    const padded = new Float32Array(2 * RATE);
    padded.set(swell(3), RATE / 2);
    await put("emovo/f1", "dis-f1-b1.wav", swell(1));
    await put("emovo/f1", "dis-f1-b2.wav", swell(1));
    await put(
      "emovo/f1",
      "gio-f1-b1.wav",
      swell(2).map((sample) => 4 * sample),
    );
    await put("emovo/f1", "neu-f1-b1.wav", padded);
    await put("emovo/f1", "tri-f1-b1.wav", silent);
    const rising = tone(300, RATE, 0.5);
    await put(
      "emovo/f1",
      "sor-f1-b1.wav",
      rising.map((sample, i) => (sample * i) / rising.length),
    );
    await put("emovo/f1", "xxx-f1-b1.wav", swell(5));
    await put("emovo/f1", "rab-f1-b1.wav", swell(6));
    const whole = await readFile(join(root, "emovo", "f1", "rab-f1-b1.wav"));
    await writeFile(join(root, "emovo", "f1", "rab-f1-b1.wav"), whole.subarray(0, 20_000));
    await mkdir(join(root, "calls"));
    await put("calls", "a.wav", swell(7));
    await put("calls", "b.wav", swell(8));
    const header = "file,speaker,emotion,duration_s";
    await writeFile(
      join(root, "calls", "manifest.csv"),
      `${header}\na.wav,s1,Anger,1.0\ngone.wav,s1,sad,1\n`,
    );
    await mkdir(join(root, "bad"));
    await writeFile(join(root, "bad", "manifest.csv"), "file,emotion\na.wav,sad\n");
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it("finds each of 7 faults in 2 corpora, goes on after a bad manifest, and ends with 1", async () => {
    const { code, stdout, stderr } = await run("check", "--json", root);
    expect(code).toBe(1);
    const { corpora, problems } = JSON.parse(stdout);
    expect(problems).toEqual([{ file: join(root, "bad"), reason: "bad lacks the column speaker" }]);
    expect(stderr).toMatch(/^not checked: bad lacks the column speaker$/m);
    expect(stderr).toMatch(
      /^9 recordings of 2 corpora in \d+ s; something is wrong in 2, 1 folders not checked$/m,
    );

    const [calls, emovo] = corpora;
    expect(emovo).toMatchObject({
      corpus: "emovo",
      published: "EMOVO",
      labelledBy: "names",
      files: { found: 7, official: 588 },
      speakers: { found: 1, official: 6 },
    });
    expect(emovo.emotions.disgust).toEqual({ found: 2, official: 84 });
    expect(emovo.missing).toHaveLength(581);
    expect(emovo.duplicates).toEqual([
      { files: ["f1/dis-f1-b1.wav", "f1/dis-f1-b2.wav"], exact: true, correlation: 1, labelsDiffer: false },
    ]);
    expect(emovo.problems).toEqual([{ file: "f1/xxx-f1-b1.wav", reason: "its name is not one of EMOVO" }]);
    const found = emovo.findings.map(
      ({ file, fault }: { file: string; fault: string }) => `${file} ${fault}`,
    );
    expect(found).toEqual([
      "f1/rab-f1-b1.wav unreadable",
      "f1/gio-f1-b1.wav clipped",
      "f1/neu-f1-b1.wav zeroPadded",
      "f1/sor-f1-b1.wav abrupt",
      "f1/tri-f1-b1.wav silent",
    ]);

    expect(calls).toMatchObject({ corpus: "calls", labelledBy: "manifest", files: { found: 2 } });
    expect(calls.emotions).toEqual({ angry: { found: 1 }, sad: { found: 1 } });
    expect(calls.findings).toMatchObject([{ file: "gone.wav", fault: "unreadable" }]);
    expect(calls.problems).toEqual([{ file: "b.wav", reason: "the manifest does not mention it" }]);
  });

  it("prints the numbers beside the official ones, and at most 8 names of a kind", async () => {
    const { stdout } = await run("check", join(root, "emovo"));
    expect(stdout).toMatch(/^emovo \(EMOVO\): .*, labelled by its file names$/m);
    expect(stdout).toMatch(/^ {2}disgust +2 of 84, 82 missing$/m);
    expect(stdout).toMatch(/^ {2}clipped +1 {2}10 samples or more at full scale$/m);
    expect(stdout).toMatch(/^ {4}and 573 more$/m);
    expect(stdout).toMatch(/dis-f1-b1\.wav = f1\/dis-f1-b2\.wav \(the same samples\)/);
  });

  it("ends with 2 for a folder that is not there, an unknown command and 0 jobs", async () => {
    expect(await run("check", join(root, "nowhere"))).toMatchObject({ code: 2 });
    expect((await run("repair", root)).stderr).toMatch(/command must be check or manifest, got repair/);
    expect((await run("check", "--jobs", "0", root)).stderr).toMatch(/jobs must be 1–64, got 0/);
  });

  it("writes the manifest of 7 recordings once, and never over another", async () => {
    const copy = join(root, "copy");
    await mkdir(copy);
    for (const name of ["DC_a01.wav", "JE_sa02.wav"]) await put("copy", name, swell(9));
    expect(await run("manifest", copy)).toMatchObject({ code: 0 });
    const text = await readFile(join(copy, "manifest.csv"), "utf8");
    expect(text.split("\n").slice(1, 3)).toEqual([
      "DC_a01.wav,savee,DC,male,en,angry,,a01",
      "JE_sa02.wav,savee,JE,male,en,sad,,sa02",
    ]);
    await writeFile(join(copy, "manifest.csv"), "file,speaker,emotion\n");
    expect((await run("manifest", copy)).stdout).toMatch(/has a manifest\.csv already/);
    expect(await readFile(join(copy, "manifest.csv"), "utf8")).toBe("file,speaker,emotion\n");
  });
});

describe("WorkerPool", () => {
  const script = new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort } from "node:worker_threads";
      parentPort.on("message", ({ id }) => {
        if (id === 3) process.exit(7);
        setTimeout(() => parentPort.postMessage({ id }), id % 2 === 0 ? 20 : 0);
      });`)}`,
  );

  it("answers 40 jobs in their order, and the 1 that kills its thread fails alone", async () => {
    const pool = new WorkerPool<{ id: number }, { id: number; reason?: string }>(script, 2);
    const answers = [];
    for await (const answer of pool.run(Array.from({ length: 40 }, (_, id) => ({ id }))))
      answers.push(answer);
    await pool.close();
    expect(answers.map(({ id }) => id)).toEqual(Array.from({ length: 40 }, (_, id) => id));
    expect(answers.filter(({ reason }) => reason !== undefined)).toEqual([
      { id: 3, reason: "its thread ended with 7" },
    ]);
  });
});
