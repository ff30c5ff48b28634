import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { readAudioFile, resampleTo16k } from "../../src/transport/file/audio-file.ts";
import { audioFacts } from "../../training/audio-facts.ts";
import {
  joined,
  LEAST_CORRELATION,
  likelyPairs,
  sameSamples,
  soundCorrelation,
} from "../../training/duplicates.ts";
import { parseLine, throughLine } from "../../training/line.ts";
import { tone } from "../support/wav.ts";

const ANNA = fileURLToPath(new URL("../../assets/demo/anna.opus", import.meta.url));
const RATE = 16_000;
const never = (): boolean => false;

describe("audioFacts", () => {
  it("counts 40 clipped samples and measures 0.25 s and 0.5 s of zeros around 1 s of sound", () => {
    const samples = new Float32Array(RATE * 1.75);
    samples.set(tone(200, RATE, 1, 0.5), RATE / 4);
    samples.fill(1, 8_000, 8_040);
    const facts = audioFacts(samples, RATE);
    expect(facts.clippedSamples).toBe(40);
    expect(facts.durationS).toBe(1.75);
    // A sine begins with a zero of its own.
    expect(facts.zerosBeforeS).toBeCloseTo(0.25, 3);
    expect(facts.zerosAfterS).toBeCloseTo(0.5, 2);
  });

  it("hears that 1 tone of two is faded in and out and the other is cut", () => {
    const cut = tone(200, RATE, 1);
    const faded = cut.map((sample, i) => sample * Math.sin((Math.PI * i) / cut.length) ** 2);
    expect(Math.max(audioFacts(cut, RATE).startDb, audioFacts(cut, RATE).endDb)).toBeLessThan(1);
    expect(Math.min(audioFacts(faded, RATE).startDb, audioFacts(faded, RATE).endDb)).toBeGreaterThan(30);
  });

  it("says -120 dB of 1 s of zeros, and nothing that is not a number", () => {
    const facts = audioFacts(new Float32Array(RATE), RATE);
    expect(facts.loudestDb).toBe(-120);
    expect([...facts.shape, facts.startDb, facts.endDb].every(Number.isFinite)).toBe(true);
  });
});

describe("duplicates", () => {
  let clips: Float32Array[] = [];
  beforeAll(async () => {
    const call = resampleTo16k(await readAudioFile(ANNA));
    // Six sentences of one voice.
    clips = [0.5, 2.7, 12.1, 15.9].map((second) => call.subarray(second * RATE, (second + 2) * RATE));
  });
  const facts = () => clips.map((clip) => audioFacts(clip, RATE));

  it("groups 2 of 5 recordings that have the same samples", () => {
    const all = [...clips, Float32Array.from(clips[1] ?? [])].map((clip) => audioFacts(clip, RATE));
    expect(sameSamples([undefined, ...all])).toEqual([[2, 5]]);
    expect(sameSamples(facts())).toEqual([]);
  });

  it("finds the 1 recording that comes again 12 dB softer, 0.4 s later, upside down and through Opus", async () => {
    const original = clips[2] ?? expect.fail();
    const coded = await throughLine(original, parseLine("opus24"));
    const again = new Float32Array(original.length + 9_600);
    again.set(
      coded.map((sample) => -sample / 4),
      6_400,
    );
    const pairs = likelyPairs([...facts(), audioFacts(again, RATE)], never);
    expect(pairs[0]).toMatchObject({ a: 2, b: 4 });
    expect(soundCorrelation(original, again)).toBeGreaterThan(LEAST_CORRELATION);
  });

  it("takes no 2 of 4 different sentences for one", () => {
    for (const a of clips) {
      for (const b of clips) if (a !== b) expect(soundCorrelation(a, b)).toBeLessThan(0.5);
    }
  });

  it("joins links that meet into 2 groups with their weakest correlation", () => {
    const links = [
      { a: 4, b: 9, correlation: 0.9 },
      { a: 1, b: 2, correlation: 1 },
      { a: 9, b: 3, correlation: 0.95 },
      { a: 3, b: 4, correlation: 0.97 },
    ];
    expect(joined(links)).toEqual([
      { members: [1, 2], correlation: 1 },
      { members: [3, 4, 9], correlation: 0.9 },
    ]);
  });
});
