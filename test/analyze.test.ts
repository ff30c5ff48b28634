import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AnalysisItem, type AnalyzeOptions, analyzeFiles, type FileSummary } from "../src/analyze.ts";
import { runAnalyze } from "../src/analyze-command.ts";
import { type ConfigInput, parseConfig } from "../src/config.ts";
import { tonetapEventSchema } from "../src/events/index.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { wav } from "./support/wav.ts";

const dir = mkdtempSync(join(tmpdir(), "tonetap-analyze-"));
afterAll(() => rmSync(dir, { recursive: true }));
const at = (name: string): string => join(dir, name);

/** Anna's angry turn, then six seconds of silence: 33.5–47.6 s of the demo. */
const VOICE = "anna.wav";
const FROM_S = 33.5;
const SECONDS = 14.1;
/** assets/demo/timeline.json: 34,757–41,132 ms of the call. */
const SPEECH_MS = { start: 1_257, end: 7_632 };
let voice: Float32Array;

beforeAll(async () => {
  const demo = new URL("../assets/demo/anna.opus", import.meta.url).pathname;
  voice = resampleTo16k(await readAudioFile(demo)).slice(FROM_S * 16_000, (FROM_S + SECONDS) * 16_000);
  writeFileSync(at(VOICE), wav([voice], 16_000, 16));
});

async function analyze(files: readonly string[], options: AnalyzeOptions = {}): Promise<AnalysisItem[]> {
  const items: AnalysisItem[] = [];
  for await (const item of analyzeFiles(files, options)) items.push(item);
  return items;
}

const summaryOf = (items: readonly AnalysisItem[], file: string): FileSummary => {
  const item = items.find((one) => one.kind === "summary" && one.file === file);
  if (item?.kind !== "summary") throw new TypeError(`no summary of ${file}`);
  return item.summary;
};

const outcomes = ({ windows }: FileSummary): number =>
  windows.emitted + windows.abstained + windows.gated + windows.dropped;

describe("analyzeFiles", () => {
  it.each([false, true])("gives each of the 28 windows of 14.1 s one outcome, direct: %s", async (direct) => {
    const items = await analyze([at(VOICE)], { direct });

    const summary = summaryOf(items, at(VOICE));
    expect(outcomes(summary)).toBe(28);
    expect(summary).toMatchObject({ durationS: SECONDS, complete: true });
    expect(summary.windows).toMatchObject({ dropped: 0 });
    expect(summary.windows.gated).toBeGreaterThan(10);
    const events = items.flatMap((item) => (item.kind === "event" ? [item.event] : []));
    const indices = events.flatMap((event) => (event.type === "tonetap.emotion" ? [event.data.index] : []));
    expect(indices.length).toBe(summary.windows.emitted + summary.windows.abstained);
    expect(indices).toEqual([...new Set(indices)].toSorted((a, b) => a - b));
    for (const event of events) tonetapEventSchema.parse(event);
    expect(items.at(-1)?.kind).toBe("summary");
  });

  it("tells the speech of 2 sentences to within 200 ms of the file edges, and no emotion in the silence behind", async () => {
    const items = await analyze([at(VOICE)]);

    const edges = items.flatMap((item) =>
      item.kind === "event" &&
      (item.event.type === "tonetap.speech.started" || item.event.type === "tonetap.speech.ended")
        ? [item.event]
        : [],
    );
    const first = edges[0];
    const last = edges.at(-1);
    expect(first?.type).toBe("tonetap.speech.started");
    expect(Math.abs((first?.data.mediaMs ?? 0) - SPEECH_MS.start)).toBeLessThan(200);
    expect(last?.type).toBe("tonetap.speech.ended");
    expect(Math.abs((last?.data.mediaMs ?? 0) - SPEECH_MS.end)).toBeLessThan(200);
    const ends = items.flatMap((item) =>
      item.kind === "event" && item.event.type === "tonetap.emotion" ? [item.event.data.media.endMs] : [],
    );
    expect(Math.max(...ends)).toBeLessThan(SPEECH_MS.end + 1_000);
  });

  it("hears nearly the same through Opus as directly: mean probabilities within 0.15", async () => {
    const [coded, direct] = await Promise.all([analyze([at(VOICE)]), analyze([at(VOICE)], { direct: true })]);

    const a = summaryOf(coded, at(VOICE)).probabilities ?? {};
    const b = summaryOf(direct, at(VOICE)).probabilities ?? {};
    expect(Object.keys(a).length).toBeGreaterThanOrEqual(4);
    expect(Object.values(a).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 2);
    for (const [label, p] of Object.entries(a)) expect(Math.abs(p - (b[label] ?? 0))).toBeLessThan(0.15);
  });

  it("says of each of its talk-spurts what was expressed, and raises and clears 1 alert: the same in 2 runs", async () => {
    const config = {
      alerts: { rules: [{ id: "anger", labels: ["angry"], above: 0.6, minDurationMs: 1_000 }] },
    };
    const kinds = ["utterance", "participant.state", "alert.raised", "alert.cleared"];
    const insights = async (filesInFlight: number) =>
      (await analyze([at(VOICE)], { config, direct: true, filesInFlight })).flatMap((item) =>
        item.kind === "event" && kinds.includes(item.event.type.slice("tonetap.".length)) ? [item.event] : [],
      );

    const events = await insights(1);

    const of = (kind: string) => events.filter(({ type }) => type === `tonetap.${kind}`);
    expect(of("utterance").length).toBe(2);
    expect(of("utterance")[0]).toMatchObject({ data: { expression: { top: "angry", abstained: false } } });
    expect(of("participant.state").length).toBeGreaterThanOrEqual(3);
    expect(of("alert.raised")).toMatchObject([{ data: { ruleId: "anger", measure: "angry" } }]);
    // She is silent for six seconds: five after the last anger it is over.
    expect(of("alert.cleared")).toMatchObject([{ data: { ruleId: "anger", reason: "calm" } }]);
    for (const event of events) tonetapEventSchema.parse(event);
    // Ids and wall times are each run's own.
    const said = (list: typeof events) =>
      list.map(({ data }) => ({ ...data, ...("alertId" in data ? { alertId: "" } : { wall: "" }) }));
    expect(said(await insights(8))).toEqual(said(events));
  });

  it("refuses 1 alert rule on a label that the model does not have", async () => {
    const config = { alerts: { rules: [{ id: "x", labels: ["mood"], above: 0.5 }] } };
    await expect(analyze([at(VOICE)], { config })).rejects.toThrow(/alert rule.*mood/);
  });

  it("listens to 1 channel of 2, and finds no speech in the silent one", async () => {
    writeFileSync(at("call.wav"), wav([voice, new Float32Array(voice.length)], 16_000, 16));

    const [talking, silent] = await Promise.all([
      analyze([at("call.wav")], { channel: 0, direct: true }),
      analyze([at("call.wav")], { channel: 1, direct: true }),
    ]);

    expect(summaryOf(talking, at("call.wav")).windows.emitted).toBeGreaterThan(5);
    expect(summaryOf(silent, at("call.wav"))).toMatchObject({ label: null, probabilities: null });
    expect(talking[0]).toMatchObject({ event: { data: { participantId: "channel-0", role: "speaker" } } });
  });

  it("reports 3 bad files of 5 and finishes the other 2", async () => {
    const whole = wav([voice], 16_000, 16);
    writeFileSync(at("cut.wav"), whole.subarray(0, 44 + 7 * 32_000));
    writeFileSync(
      at("noise.wav"),
      Uint8Array.from({ length: 500 }, (_, i) => (i * 37) & 0xff),
    );
    writeFileSync(at("good.wav"), whole);
    const files = [at("missing.wav"), at("cut.wav"), at("noise.wav"), at("good.wav"), at(VOICE)];

    const items = await analyze(files, { direct: true, filesInFlight: 2 });

    const failed = items.flatMap((item) => (item.kind === "failed" ? [item] : []));
    expect(Object.fromEntries(failed.map(({ file, error }) => [file, error.code]))).toEqual({
      [at("missing.wav")]: "not-found",
      [at("cut.wav")]: "media",
      [at("noise.wav")]: "media",
    });
    expect(summaryOf(items, at("cut.wav"))).toMatchObject({ complete: false, durationS: 7 });
    expect(summaryOf(items, at("good.wav"))).toMatchObject({ complete: true, durationS: SECONDS });
    expect(summaryOf(items, at("good.wav")).probabilities).toEqual(summaryOf(items, at(VOICE)).probabilities);
  });

  it("stops after the 1st item when the caller leaves, and at once when aborted", async () => {
    for await (const item of analyzeFiles([at(VOICE), at(VOICE), at(VOICE)])) {
      expect(item.kind).toBe("event");
      break;
    }

    const stop = new AbortController();
    const items: AnalysisItem[] = [];
    for await (const item of analyzeFiles(new Array<string>(50).fill(at(VOICE)), { signal: stop.signal })) {
      items.push(item);
      stop.abort();
    }
    const failed = items.flatMap((item) => (item.kind === "failed" ? [item.error.code] : []));
    expect(new Set(failed)).toEqual(new Set(["closed"]));
    expect(failed.length).toBeLessThanOrEqual(8);
  });

  it("refuses 65 files in flight", async () => {
    await expect(analyze([], { filesInFlight: 65 })).rejects.toThrow(/filesInFlight must be 1–64, got 65/);
  });

  const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;
  if (!hasFfmpeg)
    console.warn("analyze.test: ffmpeg is not installed: FLAC, MP3 and Opus files are NOT tested");
  it.skipIf(!hasFfmpeg)("says the same of 3 other formats at 44.1 and 48 kHz", async () => {
    const formats = ["v.flac", "v.mp3", "v.opus"].map(at);
    for (const file of formats) {
      const rateHz = file.endsWith("opus") ? "48000" : "44100";
      const args = ["-v", "error", "-y", "-i", at(VOICE), "-ar", rateHz, "-b:a", "64k", file];
      expect(spawnSync("ffmpeg", args).stderr.toString()).toBe("");
    }

    const items = await analyze([at(VOICE), ...formats], { direct: true });

    const expected = summaryOf(items, at(VOICE));
    for (const file of formats) {
      const summary = summaryOf(items, file);
      expect(Math.abs(summary.durationS - SECONDS)).toBeLessThan(0.1);
      for (const [label, p] of Object.entries(expected.probabilities ?? {})) {
        expect(Math.abs(p - (summary.probabilities?.[label] ?? 0))).toBeLessThan(0.15);
      }
    }
  });
});

describe("tonetap analyze", () => {
  const run = async (
    files: readonly string[],
    flags: Record<string, unknown>,
    config: ConfigInput = {},
    columns?: number,
  ): Promise<{ code: number; out: string[]; err: string[] }> => {
    const lines = { out: "", err: "" };
    const sink = (name: "out" | "err"): Writable =>
      new Writable({
        write(chunk, _encoding, done) {
          lines[name] += String(chunk);
          done();
        },
      });
    const code = await runAnalyze({
      config: parseConfig(config),
      flags,
      files,
      out: columns === undefined ? sink("out") : Object.assign(sink("out"), { columns }),
      err: sink("err"),
      signal: new AbortController().signal,
    });
    const split = (text: string): string[] => text.split("\n").filter((line) => line !== "");
    return { code, out: split(lines.out), err: split(lines.err) };
  };

  it("prints 1 JSON event a line, and exits with 0", async () => {
    const { code, out, err } = await run([at(VOICE)], { json: true, direct: true });

    expect(code).toBe(0);
    expect(err).toEqual([]);
    expect(out.length).toBeGreaterThan(8);
    for (const line of out) {
      const { file, ...event } = JSON.parse(line);
      expect(file).toBe(at(VOICE));
      tonetapEventSchema.parse(event);
    }
  });

  it("prints 1 object a file with --summary, tells of 1 failure, and exits with 1", async () => {
    const { code, out, err } = await run([at(VOICE), at("nothing.wav")], { summary: true, direct: true });

    expect(code).toBe(1);
    const objects = out.map((line) => JSON.parse(line)).toSorted((a, b) => (a.type < b.type ? 1 : -1));
    expect(objects).toMatchObject([
      { type: "tonetap.file.summary", file: at(VOICE), complete: true },
      { type: "tonetap.file.failed", file: at("nothing.wav"), error: { code: "not-found" } },
    ]);
    expect(err.at(-1)).toBe("tonetap: 1 of 2 files failed");
  });

  it("prints for people 1 line for each of 2 talk-spurts, 2 for an alert and 1 for the file", async () => {
    const rules = [{ id: "anger", name: "Angry", labels: ["angry"], above: 0.6, minDurationMs: 1_000 }];
    const { out } = await run([at(VOICE)], { direct: true, channel: "0" }, { alerts: { rules } });

    expect(out[0]).toMatch(/^ +bars: angry /);
    expect(out[1]).toBe(at(VOICE));
    const spurts = out.filter((line) =>
      /^ {3}0:0\d\.\d {3}\d\.\d s {2}[▁-█]{7,} {2}\w+ +\d+ % {2}valence [+-]\d\.\d\d {2}arousal /.test(line),
    );
    expect(spurts.length).toBe(2);
    const alerts = out.filter((line) => line.includes("Angry"));
    expect(alerts[0]).toMatch(/^ {3}0:0\d\.\d {2}ALERT {2}Angry: angry 0\.\d\d$/);
    expect(alerts[1]).toMatch(/^ {3}0:1\d\.\d {2}over {3}Angry: after \d+\.\d s, calm$/);
    expect(out.length).toBe(7);
    expect(out.at(-1)).toMatch(/anna\.wav: \w+ \(.+ %\); 14\.1 s, \d+ windows judged, \d+ times real time/);
  });

  it("keeps the lines of 3 files apart, and fits them in 80 columns", async () => {
    const files = ["a.wav", "b.wav", "c.wav"].map(at);
    for (const file of files) writeFileSync(file, wav([voice], 16_000, 16));
    const { out } = await run([...files, at("none.wav")], { direct: true }, {}, 80);

    const of = out.slice(1).map((line) => (line.startsWith(" ") ? "spurt" : line.split(":")[0]));
    // Files are done in any order.
    const blocks = files
      .map((_, i) => of.slice(4 * i, 4 * i + 4))
      .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
    expect(of.length).toBe(12);
    expect(blocks).toEqual(files.map((file) => [file, "spurt", "spurt", file]));
    for (const line of out.filter((text) => text.startsWith(" ")))
      expect(line.length).toBeLessThanOrEqual(80);
  });

  it("prints 1 line for a file of 1 talk-spurt, and refuses channel -1 and 0 files", async () => {
    writeFileSync(at("short.wav"), wav([voice.slice(0, 3.5 * 16_000)], 16_000, 16));
    const { out } = await run([at("short.wav")], { direct: true });

    expect(out.length).toBe(1);
    expect(out[0]).toMatch(/short\.wav: \w+ \(/);
    await expect(run([at(VOICE)], { channel: "-1" })).rejects.toThrow(/channel must be mix or a number/);
    await expect(run([], {})).rejects.toThrow(/at least one file/);
  });
});
