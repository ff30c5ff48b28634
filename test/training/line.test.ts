import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { readAudioFile, resampleTo16k } from "../../src/transport/file/audio-file.ts";
import { muLawCode, parseLine, splitSpeed, throughLine } from "../../training/line.ts";

const ANNA = fileURLToPath(new URL("../../assets/demo/anna.opus", import.meta.url));

function correlation(a: Float32Array, b: Float32Array): number {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] ?? 0) * (b[i] ?? 0);
    aa += (a[i] ?? 0) ** 2;
    bb += (b[i] ?? 0) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

describe("throughLine", () => {
  let voice: Float32Array;
  beforeAll(async () => {
    // Four seconds of real speech: codecs are made for nothing else.
    voice = resampleTo16k(await readAudioFile(ANNA)).subarray(0, 64_000);
  });

  it.each([
    ["clean", 1],
    ["opus24", 0.9],
    ["opus16", 0.9],
    ["opus16-loss5", 0.85],
    ["g711", 0.99],
    ["gain-20", 1],
    ["noise20", 0.98],
  ])("%s keeps length and time: the sample-by-sample correlation is at least %f", async (name, least) => {
    const heard = await throughLine(voice, parseLine(name));
    expect(heard.length).toBe(voice.length);
    expect(correlation(voice, heard)).toBeGreaterThanOrEqual(least - 1e-9);
  });

  it("makes it 20 dB softer, and puts noise 10 dB below it, the same each time", async () => {
    const power = (samples: Float32Array) => samples.reduce((sum, sample) => sum + sample * sample, 0);
    const soft = await throughLine(voice, parseLine("gain-20"));
    expect(10 * Math.log10(power(soft) / power(voice))).toBeCloseTo(-20, 3);
    const noisy = await throughLine(voice, parseLine("noise10"));
    const noise = noisy.map((sample, i) => sample - (voice[i] ?? 0));
    // The line counts the louder half of the recording as speech: with its pauses the whole is up to 3 dB weaker.
    const ratioDb = 10 * Math.log10(power(voice) / power(noise));
    expect(ratioDb).toBeGreaterThan(7);
    expect(ratioDb).toBeLessThanOrEqual(10);
    expect(await throughLine(voice, parseLine("noise10"))).toEqual(noisy);
  });

  it("loses the same packets twice, and other audio than a line without the 30 % loss", async () => {
    const once = await throughLine(voice, parseLine("opus24-loss30"));
    const again = await throughLine(voice, parseLine("opus24-loss30"));
    expect(again).toEqual(once);
    expect(correlation(once, await throughLine(voice, parseLine("opus24")))).toBeLessThan(0.999);
  });

  it.each(["opus", "opus5", "opus129", "g722", "opus16-loss", "noise", "gain20"])(
    "refuses %s and names all 6 kinds",
    (name) => {
      expect(() => parseLine(name)).toThrowError(
        /clean, g711, opus6–opus128, opusN-lossP, noise0–noise99, noiseN-M or gain-99–gain\+99/,
      );
    },
  );
});

describe("muLawCode", () => {
  // ITU-T G.711 table 2a: the ends of the scale and zero, as sent.
  it.each([
    [0, 0xff],
    [1, 0x80],
    [-1, 0x00],
    [31 / 8192, 0xef],
    [-31 / 8192, 0x6f],
  ])("sends %f as the byte %i", (sample, byte) => {
    expect(muLawCode(sample)).toBe(byte);
  });
});

describe("splitSpeed", () => {
  it("takes g711@0.9 apart, and 1 is the speed of a plain name", () => {
    expect(splitSpeed("g711@0.9")).toEqual({ line: "g711", speed: 0.9 });
    expect(splitSpeed("opus16")).toEqual({ line: "opus16", speed: 1 });
  });

  it.each(["clean@0.4", "clean@3", "clean@fast"])("refuses %s: a speed is 0.5–2", (name) => {
    expect(() => splitSpeed(name)).toThrowError(/speed must be 0.5–2/);
  });
});
