import fc from "fast-check";
import { getPacketInfo } from "libopus-wasm";
import { describe, expect, test } from "vitest";
import { hasOpusFec, isOpusDtx, opusFrameSamples, opusPacketSamples } from "../../src/core/opus-packet.ts";
import { encodeOpus } from "../support/opus-encoding.ts";
import { speechLike } from "../support/speech-like.ts";

const speech = speechLike({ seconds: 2, spurts: [[0, 2]] });

describe("opus packet header", () => {
  test("all 32 configurations times 4 frame codes last as long as libopus says", async () => {
    for (let config = 0; config < 32; config++) {
      for (let code = 0; code < 4; code++) {
        // Two frames of 0 bytes in code 3; equal or declared lengths of 0 elsewhere: all valid.
        const packet = Uint8Array.of((config << 3) | code, code === 3 ? 2 : 0, ...(code === 1 ? [0] : []));
        const expected = await getPacketInfo(packet, { sampleRate: 16_000 }).then(
          (info) => info.samples,
          () => 0,
        );
        if (expected !== 0) expect(opusPacketSamples(packet), `TOC ${packet[0]}`).toBe(expected);
      }
    }
    expect(opusFrameSamples(Uint8Array.of(16 << 3))).toBe(40);
  });

  test("an empty packet and one of 180 ms have no length", () => {
    expect(opusPacketSamples(new Uint8Array(0))).toBe(0);
    expect(opusPacketSamples(Uint8Array.of((3 << 3) | 3, 3))).toBe(0);
  });

  test("packets of up to 2 bytes are DTX, longer ones are not", () => {
    expect([0, 1, 2, 3].map((bytes) => isOpusDtx(new Uint8Array(bytes)))).toEqual([false, true, true, false]);
  });

  test.each([10, 20, 40, 60] as const)(
    "FEC is seen in most %i ms packets when it was asked for, in none when not",
    async (packetMs) => {
      const withFec = await encodeOpus(speech, { packetMs, fec: true, packetLossPercent: 20 });
      const without = await encodeOpus(speech, { packetMs, fec: false });

      expect(withFec.filter(hasOpusFec).length).toBeGreaterThan(withFec.length / 2);
      expect(without.filter(hasOpusFec)).toHaveLength(0);
    },
  );

  test("FEC is seen through code 3 framing with 300 bytes of padding, CBR and VBR", async () => {
    const [, , , packet = new Uint8Array()] = await encodeOpus(speech, { fec: true, packetLossPercent: 20 });
    const toc = (packet[0] ?? 0) | 3;
    const frame = packet.subarray(1);
    const padding = new Uint8Array(254 + 46);
    const cbr = Uint8Array.of(toc, 0x41, 255, 46, ...frame, ...padding);
    const vbr = Uint8Array.of(toc, 0xc2, 255, 46, frame.length, ...frame, ...frame, ...padding);

    expect(hasOpusFec(packet)).toBe(true);
    expect([hasOpusFec(cbr), hasOpusFec(vbr)]).toEqual([true, true]);
    expect((await getPacketInfo(vbr)).frames).toBe(2);
  });

  test("any bytes at all give a length of 0–1,920 samples and no exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        hasOpusFec(bytes);
        const samples = opusPacketSamples(bytes);
        expect(samples % 40).toBe(0);
        expect(samples).toBeLessThanOrEqual(1_920);
      }),
    );
  });
});
