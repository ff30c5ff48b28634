import { describe, expect, test } from "vitest";
import { VoiceActivityDetector, type VoiceActivityOptions } from "../../src/stream/voice-activity.ts";
import { pseudoRandom, speechLike } from "../support/speech-like.ts";

/** 25 ms frames every 10 ms, as the features' frames are. */
function energies(samples: Float32Array): number[] {
  const out: number[] = [];
  for (let at = 0; at + 400 <= samples.length; at += 160) {
    let sum = 0;
    for (let i = at; i < at + 400; i++) sum += (samples[i] ?? 0) ** 2;
    out.push(10 * Math.log10(Math.max(1e-10, sum / 400)));
  }
  return out;
}

/** One flag a frame, as they stand in the end. */
function detect(
  levels: readonly number[],
  quiet: (frame: number) => boolean = () => false,
  options: VoiceActivityOptions = {},
): boolean[] {
  const detector = new VoiceActivityDetector(10, options);
  const flags: boolean[] = [];
  for (const [frame, levelDb] of levels.entries()) {
    flags.push(false);
    const speech = detector.push({ levelDb, quiet: quiet(frame), heard: true });
    for (let back = 0; back < speech; back++) flags[frame - back] = true;
  }
  return flags;
}

const share = (flags: readonly boolean[], from = 0, to = flags.length): number =>
  flags.slice(from, to).filter(Boolean).length / (to - from);

const constant = (db: number, frames: number): number[] => new Array<number>(frames).fill(db);

describe("voice activity", () => {
  test.each([-85, -60, -45, -30, -20])("10 s of steady noise at %i dB hold no speech frame", (noiseDb) => {
    const flags = detect(energies(speechLike({ seconds: 10, spurts: [], noiseDb })));
    expect(share(flags)).toBe(0);
  });

  test("10 s of digital silence hold no speech frame", () => {
    expect(share(detect(constant(-100, 1_000)))).toBe(0);
  });

  test.each([
    [-23, -75],
    [-23, -45],
    [-43, -75],
    [-43, -63],
  ])(
    "speech at %i dB over noise at %i dB is found from 1.00 to 3.00 s, edges within 20 ms",
    (levelDb, noiseDb) => {
      const samples = speechLike({ seconds: 5, spurts: [[1, 3]], levelDb, noiseDb });
      const flags = detect(energies(samples));
      const first = flags.indexOf(true);
      const last = flags.lastIndexOf(true);

      expect(Math.abs(first * 10 + 15 - 1_000)).toBeLessThanOrEqual(20);
      expect(Math.abs(last * 10 + 10 - 3_000)).toBeLessThanOrEqual(noiseDb === -75 ? 20 : 60);
      expect(share(flags, 100, 300)).toBeGreaterThan(0.6);
    },
  );

  test("a stream that begins in mid-word is found to have spoken from its first 100 ms on", () => {
    const samples = speechLike({ seconds: 4, spurts: [[0, 2]], noiseDb: -60 });
    const flags = detect(energies(samples));
    expect(flags.indexOf(true)).toBeLessThan(10);
    expect(share(flags, 0, 200)).toBeGreaterThan(0.6);
    expect(share(flags, 205, 395)).toBe(0);
  });

  test("30 s of speech without a pause stay at least 60 % speech: the floor does not climb into it", () => {
    const flags = detect(energies(speechLike({ seconds: 31, spurts: [[0.5, 30.5]] })));
    for (let second = 1; second < 30; second++) {
      expect(share(flags, second * 100, second * 100 + 100), `second ${second}`).toBeGreaterThan(0.6);
    }
  });

  test("noise that rises by 20 dB is speech for at most 2.5 s", () => {
    const random = pseudoRandom(3);
    const levels = [...constant(-60, 500), ...constant(-40, 500)].map((db) => db + random());
    const flags = detect(levels);
    expect(share(flags, 0, 500)).toBe(0);
    expect(share(flags, 750, 1_000)).toBe(0);
  });

  test("a click of 40 ms is no speech, a run of 50 ms is, from its start", () => {
    const silence = constant(-70, 300);
    const click = detect([...silence, ...constant(-20, 4), ...silence]);
    const word = detect([...silence, ...constant(-20, 5), ...silence]);
    expect(share(click)).toBe(0);
    expect(word.indexOf(true)).toBe(300);
    expect(word.lastIndexOf(true)).toBe(304);
  });

  test("within 300 ms of speech a single frame is speech, after 310 ms it is not", () => {
    const levels = (pause: number): number[] => [
      ...constant(-70, 300),
      ...constant(-20, 10),
      ...constant(-70, pause),
      -20,
      ...constant(-70, 100),
    ];
    expect(detect(levels(30)).lastIndexOf(true)).toBe(340);
    expect(detect(levels(31)).lastIndexOf(true)).toBe(309);
  });

  test("what the sender calls quiet is no speech at −10 dB", () => {
    const flags = detect([...constant(-70, 300), ...constant(-10, 100)], (frame) => frame >= 350);
    expect(share(flags, 300, 350)).toBe(1);
    expect(share(flags, 350, 400)).toBe(0);
  });

  test("concealed audio and DTX teach nothing of the noise: the floor stays at −50 dB", () => {
    const detector = new VoiceActivityDetector(10);
    for (let i = 0; i < 300; i++) detector.push({ levelDb: -50, quiet: false, heard: true });
    for (let i = 0; i < 300; i++) detector.push({ levelDb: -90, quiet: i % 2 === 0, heard: i % 2 === 0 });
    expect(detector.noiseDb).toBeCloseTo(-50, 5);
  });

  test("a reset keeps the floor of −50 dB when asked to, else forgets it", () => {
    const detector = new VoiceActivityDetector(10);
    for (let i = 0; i < 300; i++) detector.push({ levelDb: -50, quiet: false, heard: true });
    detector.reset(true);
    expect(detector.noiseDb).toBeCloseTo(-50, 5);
    detector.reset(false);
    expect(detector.noiseDb).toBe(Number.POSITIVE_INFINITY);
  });

  test("options out of range are refused by name", () => {
    expect(() => new VoiceActivityDetector(10, { snrDb: 2 })).toThrow("snrDb must be 3–30 dB, got 2");
    expect(() => new VoiceActivityDetector(10, { hangoverMs: -1 })).toThrow("hangoverMs must be 0–2000 ms");
  });
});
