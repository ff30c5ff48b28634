import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Resampler, resample } from "../../src/core/resampler.ts";

const tone = (hz: number, rateHz: number, length: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rateHz));

/** Amplitude of `hz` in the middle half of `samples`, dB re 1, by a Hann-windowed single-bin DFT. */
function levelDb(samples: Float32Array, hz: number, rateHz: number): number {
  const from = samples.length >> 2;
  const length = samples.length >> 1;
  let re = 0;
  let im = 0;
  let weight = 0;
  for (let i = 0; i < length; i++) {
    const w = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length);
    const angle = (2 * Math.PI * hz * i) / rateHz;
    const x = samples[from + i] ?? 0;
    re += w * x * Math.cos(angle);
    im += w * x * Math.sin(angle);
    weight += w;
  }
  return 20 * Math.log10((2 * Math.hypot(re, im)) / weight);
}

const peakDb = (samples: Float32Array): number => {
  const middle = samples.subarray(samples.length >> 2, (samples.length * 3) >> 2);
  return 20 * Math.log10(middle.reduce((peak, x) => Math.max(peak, Math.abs(x)), 1e-12));
};

const RATES_HZ = [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

describe("Resampler", () => {
  it.each(RATES_HZ)("passes 100 Hz to 0.94 of the band within 0.02 dB from %i Hz", (rateHz) => {
    const top = 0.94 * Math.min(8_000, rateHz / 2);
    for (const hz of [100, 0.25 * top, 0.5 * top, 0.75 * top, 0.9 * top, top]) {
      const out = resample(tone(hz, rateHz, rateHz >> 1), rateHz, 16_000);
      expect(Math.abs(levelDb(out, hz, 16_000))).toBeLessThan(0.02);
    }
  });

  it.each(RATES_HZ.filter((rateHz) => rateHz > 16_000))("rejects aliases by 75 dB from %i Hz", (rateHz) => {
    for (const share of [0, 0.02, 0.1, 0.3, 0.6, 0.95]) {
      const hz = 8_000 + share * (rateHz / 2 - 8_000);
      const out = resample(tone(hz, rateHz, rateHz >> 1), rateHz, 16_000);
      expect(peakDb(out)).toBeLessThan(-75);
    }
  });

  it("leaves less than −75 dB of images when 8,000 Hz become 16,000", () => {
    const out = resample(tone(3_700, 8_000, 8_000), 8_000, 16_000);
    expect(levelDb(out, 4_300, 16_000)).toBeLessThan(-75);
  });

  it("keeps every sample within 0.0002 of the true tone: no delay, no drift over 10 s", () => {
    const out = resample(tone(1_000, 44_100, 441_000), 44_100, 16_000);
    const truth = tone(1_000, 16_000, 160_000);
    expect(out.length).toBe(160_000);
    let worst = 0;
    for (let i = 500; i < 159_500; i++) worst = Math.max(worst, Math.abs((out[i] ?? 0) - (truth[i] ?? 0)));
    expect(worst).toBeLessThan(0.0002);
  });

  it("gives the same samples for any of 30 ways to cut the input", () => {
    const input = tone(440, 22_050, 3_000);
    const whole = resample(input, 22_050, 16_000);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 8 }), (cuts) => {
        const resampler = new Resampler(22_050, 16_000);
        const parts: number[] = [];
        let at = 0;
        for (const cut of cuts) {
          parts.push(...resampler.push(input.subarray(at, at + cut)));
          at = Math.min(input.length, at + cut);
        }
        parts.push(...resampler.push(input.subarray(at)), ...resampler.end());
        expect(Float32Array.from(parts)).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });

  it("turns 0 samples into 0 and 4,411 samples at an odd 44,101 Hz into 1,600", () => {
    expect(resample(new Float32Array(0), 44_100, 16_000).length).toBe(0);
    expect(resample(tone(200, 44_101, 4_411), 44_101, 16_000).length).toBe(1_600);
  });

  it("refuses a rate of 999 Hz and names the range", () => {
    expect(() => new Resampler(999, 16_000)).toThrow(/sample rate must be 1000–384000 Hz, got 999/);
  });
});
