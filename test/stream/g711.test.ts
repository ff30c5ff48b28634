import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { G711Decoder, type G711Law } from "../../src/stream/g711.ts";
import { HALF_BAND_DELAY, HalfBandUpsampler } from "../../src/stream/half-band.ts";
import { levelDb, rms } from "../support/speech-like.ts";

/** ITU-T G.711 by search: the code whose expansion is nearest. */
function encode(samples: ArrayLike<number>, law: G711Law): Uint8Array {
  const values = Array.from({ length: 256 }, (_, code) => expand(code, law));
  return Uint8Array.from(samples, (sample) => {
    let best = 0;
    for (let code = 1; code < 256; code++) {
      if (Math.abs((values[code] ?? 0) - sample) < Math.abs((values[best] ?? 0) - sample)) best = code;
    }
    return best;
  });
}

/** One code's value: the even outputs of the upsampler are its inputs, 12 samples later. */
function expand(code: number, law: G711Law): number {
  const wide = new G711Decoder().decode(new Uint8Array(24).fill(code), law);
  return wide?.[46] ?? Number.NaN;
}

const sine = (hz: number, rateHz: number, count: number, amplitude = 0.5): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / rateHz));

/** Level of one frequency in a signal, dB re full scale of a sine. */
function toneDb(samples: Float32Array, hz: number, rateHz: number): number {
  let re = 0;
  let im = 0;
  samples.forEach((sample, i) => {
    const window = 1 - Math.cos((2 * Math.PI * i) / samples.length);
    re += window * sample * Math.cos((2 * Math.PI * hz * i) / rateHz);
    im += window * sample * Math.sin((2 * Math.PI * hz * i) / rateHz);
  });
  return 20 * Math.log10((2 * Math.hypot(re, im)) / samples.length + 1e-12);
}

describe("g711", () => {
  test("expands the codes that ITU-T G.711 tables 1 and 2 give, of 14 and 13 bits", () => {
    const mu = [0x00, 0x80, 0x7f, 0xff, 0x0f, 0xb5].map((code) => expand(code, "mu") * 8192);
    const a = [0x2a, 0xaa, 0x55, 0xd5, 0x80, 0x00].map((code) => expand(code, "a") * 4096);
    // µ-law: ±8031 are the largest, 0x7f and 0xff zero; 0x0f is the lowest step of the largest negative segment.
    expect(mu).toEqual([-8031, 8031, -0, 0, -4191, 815]);
    // A-law: ±4032 are the largest, ±1 the smallest.
    expect(a).toEqual([-4032, 4032, -1, 1, 688, -688]);
  });

  test("all 256 codes of both laws add up as CPython's audioop has them, weighted by code", () => {
    const checksum = (law: G711Law, scale: number): number => {
      let sum = 0;
      for (let code = 0; code < 256; code++) sum += (code + 1) * expand(code, law) * scale;
      return sum;
    };
    expect(checksum("mu", 32_768)).toBe(98_107_392);
    expect(checksum("a", 32_768)).toBe(100_139_008);
  });

  test.each(["mu", "a"] as const)("a 1 kHz sine keeps 33 dB of signal to noise through %s-law", (law) => {
    const decoder = new G711Decoder();
    const codes = encode(sine(1_000, 8_000, 1_600), law);
    const heard: number[] = [];
    for (let at = 0; at < codes.length; at += 160) {
      heard.push(...(decoder.decode(codes.subarray(at, at + 160), law) ?? []));
    }
    const late = 2 * HALF_BAND_DELAY;
    const truth = sine(1_000, 16_000, heard.length);
    const steady = heard.slice(late + 100);
    const noise = steady.map((sample, i) => sample - (truth[i + 100] ?? 0));
    expect(20 * Math.log10(rms(steady) / rms(noise))).toBeGreaterThan(33);
  });

  test("the upsampler passes 300–3,400 Hz within 0.1 dB and its images are 55 dB down", () => {
    for (const hz of [300, 1_000, 2_000, 3_000, 3_400]) {
      const out = new Float32Array(8_000);
      new HalfBandUpsampler(4_000).process(sine(hz, 8_000, 4_000, 1), 4_000, out);
      const steady = out.subarray(800, 7_200);
      expect(Math.abs(toneDb(steady, hz, 16_000)), `${hz} Hz`).toBeLessThan(0.1);
      expect(toneDb(steady, 8_000 - hz, 16_000), `image of ${hz} Hz`).toBeLessThan(-55);
    }
  });

  test("cutting 400 bytes into packets anywhere changes no sample", () => {
    const codes = Uint8Array.from({ length: 400 }, (_, i) => (i * 37) & 0xff);
    const whole = Float32Array.from(new G711Decoder().decode(codes, "a") ?? []);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 399 }), { maxLength: 5 }), (cuts) => {
        const decoder = new G711Decoder();
        const edges = [0, ...[...new Set(cuts)].sort((x, y) => x - y), 400];
        const heard = edges.flatMap((from, i) =>
          i + 1 < edges.length ? [...(decoder.decode(codes.subarray(from, edges[i + 1]), "a") ?? [])] : [],
        );
        expect(Float32Array.from(heard)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  test("a lost 20 ms packet of a voiced sound is concealed with an error 6 dB below the sound", () => {
    // 125 Hz and harmonics: a period of 64 samples.
    const voiced = Float32Array.from({ length: 1_600 }, (_, i) =>
      [1, 2, 3, 4].reduce((sum, k) => sum + (0.2 / k) * Math.sin((2 * Math.PI * 125 * k * i) / 8_000 + k), 0),
    );
    const codes = encode(voiced, "mu");
    const [whole, lossy] = [new G711Decoder(), new G711Decoder()];
    for (let at = 0; at < 1_280; at += 160) {
      whole.decode(codes.subarray(at, at + 160), "mu");
      lossy.decode(codes.subarray(at, at + 160), "mu");
    }
    const truth = Float32Array.from(whole.decode(codes.subarray(1_280, 1_440), "mu") ?? []);
    const heard = Float32Array.from(lossy.conceal(320));
    const error = truth.map((sample, i) => sample - (heard[i] ?? 0));
    expect(20 * Math.log10(rms(truth) / rms(error))).toBeGreaterThan(6);
  });

  test("concealment fades to silence by 60 ms and the next packet is faded in over 4 ms", () => {
    const decoder = new G711Decoder();
    const codes = encode(sine(200, 8_000, 320), "mu");
    decoder.decode(codes, "mu");

    const levels = [0, 1, 2, 3, 4].map(() => levelDb(decoder.conceal(320)));
    const back = Float32Array.from(decoder.decode(codes, "mu") ?? []);

    expect(levels[0]).toBeGreaterThan(-12);
    expect(levels[1]).toBeLessThan(levels[0] ?? 0);
    expect(levels[3]).toBeLessThan(-45);
    expect(levels[4]).toBeLessThan(-100);
    expect(levelDb(back.subarray(100, 420))).toBeCloseTo(-9, 0);
  });

  test("payloads of 0 and 1,601 bytes are refused; 1 and 1,600 bytes are not", () => {
    const decoder = new G711Decoder();
    const lengths = [0, 1, 1_600, 1_601].map((bytes) => decoder.decode(new Uint8Array(bytes), "a")?.length);
    expect(lengths).toEqual([undefined, 2, 3_200, undefined]);
  });

  test("any 1,600 codes stay within ±1, after concealment too", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 1_600 }), (codes) => {
        const decoder = new G711Decoder();
        for (const law of ["mu", "a"] as const) {
          const inRange = (sample: number): boolean => sample >= -1 && sample <= 1;
          expect(decoder.decode(codes, law)?.every(inRange)).toBe(true);
          expect(decoder.conceal(1_000).every(inRange)).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("reset leaves 0 of the past", () => {
    const decoder = new G711Decoder();
    decoder.decode(encode(sine(200, 8_000, 160), "mu"), "mu");
    decoder.reset();
    expect(decoder.conceal(640).every((sample) => sample === 0)).toBe(true);
  });
});
