import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { decodeTo16k, readAudioFile, resampleTo16k } from "../../../src/transport/file/audio-file.ts";
import { tone, wav } from "../../support/wav.ts";

const dir = mkdtempSync(join(tmpdir(), "tonetap-audio-"));
afterAll(() => rmSync(dir, { recursive: true }));

const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;
if (!hasFfmpeg)
  console.warn("audio-file.test: ffmpeg is not installed: FLAC, MP3, Opus, Vorbis, AIFF are NOT tested");

/** Encodes a WAV of the test by ffmpeg; returns the new file's path. */
function encoded(name: string, source: Uint8Array, ...args: string[]): string {
  const path = join(dir, name);
  const made = spawnSync("ffmpeg", ["-v", "error", "-y", "-i", "pipe:0", ...args, path], { input: source });
  expect(made.stderr.toString()).toBe("");
  return path;
}

/** RMS of the samples from 0.2 s on, and how many times they rise through zero a second. */
function measure(samples: Float32Array, rateHz: number): { rms: number; hz: number } {
  const body = samples.subarray(Math.round(0.2 * rateHz));
  let rises = 0;
  for (let i = 1; i < body.length; i++) if ((body[i - 1] ?? 0) < 0 && (body[i] ?? 0) >= 0) rises++;
  return {
    rms: Math.sqrt(body.reduce((sum, x) => sum + x * x, 0) / body.length),
    hz: (rises * rateHz) / body.length,
  };
}

const failure = async (input: string | Uint8Array, options = {}): Promise<TonetapError> => {
  const error = await readAudioFile(input, options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TonetapError);
  return error as TonetapError;
};

const left = tone(440, 44_100, 1);
const right = tone(880, 44_100, 1, 0.25);

describe("readAudioFile", () => {
  it.each([8, 16, 24, 32] as const)("reads %i-bit PCM within half a step", async (bits) => {
    const { samples, sampleRateHz } = await readAudioFile(wav([left], 44_100, bits));

    expect(sampleRateHz).toBe(44_100);
    expect(samples.length).toBe(44_100);
    let worst = 0;
    for (let i = 0; i < samples.length; i++)
      worst = Math.max(worst, Math.abs((samples[i] ?? 0) - (left[i] ?? 0)));
    expect(worst).toBeLessThan(Math.max(1.1 / 2 ** (bits - 1), 1e-6));
  });

  it("mixes 2 channels to their mean, or takes the one asked for", async () => {
    const file = wav([left, right], 44_100, 16);

    const mix = await readAudioFile(file);
    const second = await readAudioFile(file, { channel: 1 });

    expect(measure(second.samples, 44_100).hz).toBeCloseTo(880, -1);
    expect(measure(second.samples, 44_100).rms).toBeCloseTo(0.25 / Math.SQRT2, 3);
    expect(mix.samples[100]).toBeCloseTo(((left[100] ?? 0) + (right[100] ?? 0)) / 2, 4);
  });

  it("refuses channel 2 of a file that has 2", async () => {
    const error = await failure(wav([left, right], 44_100, 16), { channel: 2 });
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toBe("audio data: channel must be 0–1 or mix, got 2");
  });

  it("turns the infinities and NaN of a 32-bit float WAV into 0", async () => {
    const file = wav([Float32Array.of(0.5, Number.NaN, Number.POSITIVE_INFINITY, -0.5)], 16_000, "float");
    const { samples } = await readAudioFile(file);
    expect([...samples]).toEqual([0.5, 0, 0, -0.5]);
  });

  const formats = [
    ["tone.flac", 44_100, 44_100, []],
    ["tone.mp3", 44_100, 44_100, ["-b:a", "128k"]],
    ["tone.opus", 48_000, 48_000, ["-c:a", "libopus", "-b:a", "96k"]],
    ["tone.ogg", 44_100, 44_100, ["-c:a", "libvorbis"]],
    ["tone.aiff", 44_100, 44_100, []],
  ] as const;
  it.skipIf(!hasFfmpeg).each(formats)("reads 1 s of %s by channel", async (name, rateHz, length, args) => {
    const path = encoded(name, wav([left, right], 44_100, 16), ...args);

    const { samples, sampleRateHz } = await readAudioFile(path, { channel: 1 });

    expect(sampleRateHz).toBe(rateHz);
    expect(Math.abs(samples.length - length)).toBeLessThan(0.03 * length);
    const { rms, hz } = measure(samples, rateHz);
    expect(Math.abs(hz - 880)).toBeLessThan(5);
    expect(rms).toBeCloseTo(0.25 / Math.SQRT2, 1);
  });

  it.skipIf(!hasFfmpeg)("refuses channel 1 of a mono MP3", async () => {
    const error = await failure(encoded("mono.mp3", wav([left], 44_100, 16)), { channel: 1 });
    expect(error.message).toMatch(/mono\.mp3: channel must be 0–0 or mix, got 1/);
  });

  it.skipIf(!hasFfmpeg)("reports 1 flipped bit in an Ogg Opus file", async () => {
    const bytes = readFileSync(encoded("bit.opus", wav([left], 44_100, 16), "-c:a", "libopus"));
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect((await failure(bytes)).message).toMatch(/wrong checksum in the page at byte \d+/);
  });

  it.skipIf(!hasFfmpeg)("gives what a FLAC cut in 2 holds, then says how much is missing", async () => {
    const bytes = readFileSync(encoded("cut.flac", wav([tone(440, 44_100, 4)], 44_100, 16)));
    const cut = bytes.subarray(0, bytes.length >> 1);

    let samples = 0;
    const error = await (async () => {
      for await (const part of decodeTo16k(cut)) samples += part.length;
    })().then(
      () => undefined,
      (reason: unknown) => reason,
    );

    expect(samples).toBeGreaterThan(16_000);
    expect(String(error)).toMatch(/is damaged or cut off: [12]\.\d\d s of 4\.00 s could be decoded/);
  });

  it("says how much of a WAV cut at 0.5 s is missing", async () => {
    const file = wav([left], 44_100, 16);
    const error = await failure(file.subarray(0, 44 + 44_100));
    expect(error.code).toBe("media");
    expect(error.message).toBe("audio data: is damaged or cut off: 0.50 s of 1.00 s could be decoded");
  });

  it("names file and reason for 8 kinds of bad input", async () => {
    const path = join(dir, "notes.txt");
    writeFileSync(path, "not audio at all");
    expect((await failure(path)).message).toBe(
      `${path}: is not WAV, FLAC, MP3, Ogg Opus, Ogg Vorbis or AIFF`,
    );
    expect((await failure(new Uint8Array(0))).message).toBe("audio data: is empty");
    expect((await failure(wav([new Float32Array(0)], 16_000, 16))).message).toMatch(/holds no audio/);
    expect((await failure(wav([tone(440, 8_000, 2)], 8_000, 16), { maxDurationS: 1 })).message).toMatch(
      /is longer than 1 s/,
    );
    expect((await failure(wav([left], 44_100, 16), { channel: 0.5 })).message).toMatch(/got 0.5/);
    expect((await failure(wav([left], 3, 16))).message).toMatch(/has a sample rate of 3 Hz/);
    const missing = await failure(join(dir, "no-such-file.wav"));
    expect(missing.code).toBe("not-found");
    expect(missing.message).toMatch(/no-such-file\.wav: does not exist/);
    expect((await failure(dir)).message).toBe(`${dir}: is a folder`);
  });

  it("ends in audio or a TonetapError for 100 files of damaged bytes", async () => {
    const good = wav([left.subarray(0, 2_000)], 44_100, 16);
    const heads = ["RIFF", "fLaC", "OggS", "ID3\x04", "FORM"].map((text) => new TextEncoder().encode(text));
    const noise = fc.tuple(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }));
    const wounded = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 30 });
    const file = fc.oneof(
      noise.map(([head, tail]) => Uint8Array.from([...head, ...tail])),
      wounded.map((wounds) => {
        const bytes = good.slice();
        for (const [at, value] of wounds) bytes[at % 60] = value;
        return bytes;
      }),
    );
    await fc.assert(
      fc.asyncProperty(file, async (bytes) => {
        try {
          const { samples } = await readAudioFile(bytes, { maxDurationS: 60 });
          expect(samples.every(Number.isFinite)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(TonetapError);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("decodeTo16k", () => {
  it("gives the samples of resampleTo16k in pieces, 16,000 for 1 s", async () => {
    const file = wav([left, right], 44_100, 16);
    const whole = resampleTo16k(await readAudioFile(file));

    const parts: number[] = [];
    for await (const part of decodeTo16k(file)) parts.push(...part);

    expect(parts.length).toBe(16_000);
    expect(Float32Array.from(parts)).toEqual(whole);
  });
});
