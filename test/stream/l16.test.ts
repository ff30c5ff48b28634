import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { resample } from "../../src/core/resampler.ts";
import { l16 } from "../../src/core/rtp.ts";
import { L16Decoder } from "../../src/stream/l16.ts";
import { bestMatch } from "../support/correlation.ts";
import { encodeL16 } from "../support/l16.ts";
import { levelDb, speechLike } from "../support/speech-like.ts";

const speech = speechLike({ seconds: 1, spurts: [[0, 1]] });

function decodeAll(payloads: readonly Uint8Array[], rateHz: number): Float32Array {
  const decoder = new L16Decoder();
  const parts = payloads.map(
    (payload) => decoder.decode(payload, l16(rateHz))?.slice() ?? new Float32Array(),
  );
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}

describe("L16Decoder", () => {
  test("gives 16 kHz back to the last of 16 bits", () => {
    const exact = Float32Array.of(0, 0.5, -0.5, 32_767 / 32_768, -1, 1 / 32_768);

    const decoded = decodeAll([encodeL16(exact)], 16_000);

    expect([...decoded]).toEqual([...exact]);
  });

  test.each([8_000, 12_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])(
    "brings %i Hz to 16 kHz: 320 samples for each 20 ms, correlation ≥ 0.995",
    (rateHz) => {
      const sent = resample(speech, 16_000, rateHz);
      const reference = resample(sent, rateHz, 16_000);
      const packets = cut(encodeL16(sent), (2 * rateHz) / 50);
      const decoder = new L16Decoder();

      const lengths = packets.slice(0, -1).map((packet) => decoder.decode(packet, l16(rateHz))?.length);
      const decoded = decodeAll(packets, rateHz);

      expect(new Set(lengths)).toEqual(new Set([320]));
      expect(bestMatch(decoded, reference.slice(0, 15_000)).correlation).toBeGreaterThan(0.995);
      expect(bestMatch(decoded, reference.slice(0, 15_000)).lag).toBeLessThan(0.012 * 16_000);
    },
  );

  test("a stream cut anywhere into packets up to 200 ms is the uncut stream, at 8, 16, 24 and 48 kHz", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8_000, 16_000, 24_000, 48_000),
        fc.array(fc.integer({ min: 1, max: 1_600 }), { minLength: 1, maxLength: 12 }),
        (rateHz, sizes) => {
          const sent = encodeL16(resample(speech, 16_000, rateHz).slice(0, 8_000));
          const packets: Uint8Array[] = [];
          for (let at = 0, i = 0; at < sent.length; i++) {
            const size = 2 * (sizes[i % sizes.length] ?? 1);
            packets.push(sent.subarray(at, at + size));
            at += size;
          }
          const whole = decodeAll(cut(sent, 3_200), rateHz);
          const pieces = decodeAll(packets, rateHz);
          expect(pieces.length).toBe(whole.length);
          expect(levelDb(pieces.map((sample, i) => sample - (whole[i] ?? 0)))).toBeLessThan(-120);
        },
      ),
      { numRuns: 30 },
    );
  });

  test("mixes 2 channels to their mean", () => {
    const stereo = encodeL16(Float32Array.of(0.5, -0.25, 0.25, 0.25));

    expect([...(new L16Decoder().decode(stereo, l16(16_000, 2)) ?? [])]).toEqual([0.125, 0.25]);
  });

  test.each([
    ["no payload", new Uint8Array(), 16_000, 1],
    ["half a sample", new Uint8Array(321), 16_000, 1],
    ["half a pair of 2 channels", new Uint8Array(322), 16_000, 2],
    ["201 ms", new Uint8Array(2 * 201 * 16), 16_000, 1],
    ["4,000 Hz", new Uint8Array(320), 4_000, 1],
    ["9 channels", new Uint8Array(18), 16_000, 9],
  ])("refuses %s", (_, payload, rateHz, channels) => {
    expect(new L16Decoder().decode(payload, l16(rateHz, channels))).toBeUndefined();
  });

  test.each([8_000, 16_000, 48_000])("after reset() at %i Hz nothing of 1 s of speech is left", (rateHz) => {
    const decoder = new L16Decoder();
    for (const packet of cut(encodeL16(resample(speech, 16_000, rateHz)), (2 * rateHz) / 50)) {
      decoder.decode(packet, l16(rateHz));
    }

    decoder.reset();
    const silence = decoder.decode(new Uint8Array((2 * rateHz) / 50), l16(rateHz));

    expect(silence?.every((sample) => sample === 0)).toBe(true);
  });
});
