import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpusDecoder, type OpusDecoder } from "../../src/stream/opus-decoder.ts";
import { encodeOpus } from "../support/opus-encoding.ts";
import { levelDb, speechLike } from "../support/speech-like.ts";

const speech = speechLike({ seconds: 2, spurts: [[0, 2]] });

async function open(): Promise<OpusDecoder> {
  const decoder = await createOpusDecoder();
  onTestFinished(() => decoder.close());
  return decoder;
}

/** The lag (0–200 samples) and value of the best correlation. */
function correlate(truth: Float32Array, heard: Float32Array): { lag: number; value: number } {
  let best = { lag: 0, value: -1 };
  for (let lag = 0; lag <= 200; lag++) {
    let xy = 0;
    let xx = 0;
    let yy = 0;
    for (let i = 0; i + lag < heard.length; i++) {
      const x = truth[i] ?? 0;
      const y = heard[i + lag] ?? 0;
      xy += x * y;
      xx += x * x;
      yy += y * y;
    }
    const value = xy / Math.sqrt(xx * yy);
    if (value > best.value) best = { lag, value };
  }
  return best;
}

describe("opus decoder", () => {
  test.each([10, 20, 40, 60] as const)(
    "decodes %i ms packets to speech within 10 ms of its place",
    async (packetMs) => {
      const decoder = await open();
      const heard = (await encodeOpus(speech, { packetMs })).flatMap((packet) => [
        ...(decoder.decode(packet) ?? []),
      ]);

      const { lag, value } = correlate(speech, Float32Array.from(heard));
      expect(heard).toHaveLength(Math.floor(speech.length / (packetMs * 16)) * packetMs * 16);
      expect(value).toBeGreaterThan(0.95);
      expect(lag).toBeLessThanOrEqual(160);
    },
  );

  test("a packet of 120 ms after ones of 20 ms wipes first, then it decodes as its halves do; wiping leaves 0 of it", async () => {
    const halves = await encodeOpus(speech, { packetMs: 60, bitrate: 16_000 });
    const [long, short] = [await open(), await open()];
    for (const packet of await encodeOpus(speech)) {
      long.decode(packet);
      short.decode(packet);
    }
    short.wipe();
    for (let i = 0; i + 1 < halves.length; i += 2) {
      const [a = new Uint8Array(), b = new Uint8Array()] = halves.slice(i, i + 2);
      // RFC 6716 §3.2.4: two frames of different lengths, the first one's told in a byte.
      const packet = Uint8Array.of((a[0] ?? 0) | 2, a.length - 1, ...a.subarray(1), ...b.subarray(1));
      expect(a.length).toBeLessThan(252);

      const heard = long.decode(packet);

      const want = [...(short.decode(a) ?? []), ...(short.decode(b) ?? [])];
      expect(heard).toHaveLength(1_920);
      expect([...(heard ?? [])]).toEqual(want);
    }
    long.wipe();
    expect(levelDb(long.conceal(1_920))).toBeLessThan(-60);
  });

  test("FEC restores a lost packet 6 dB better than PLC does", async () => {
    const packets = await encodeOpus(speech, { fec: true, packetLossPercent: 30, bitrate: 32_000 });
    const [whole, fec, plc] = [await open(), await open(), await open()];
    const error = { fec: 0, plc: 0 };
    for (let i = 0; i + 1 < packets.length; i++) {
      const packet = packets[i] ?? new Uint8Array();
      const truth = whole.decode(packet) ?? new Float32Array();
      const lost = i % 5 === 4;
      const next = packets[i + 1] ?? new Uint8Array();
      const recovered = lost ? fec.decodeFec(next, 320) : fec.decode(packet);
      const concealed = lost ? plc.conceal(320) : plc.decode(packet);
      if (!lost) continue;
      truth.forEach((sample, k) => {
        error.fec += (sample - (recovered?.[k] ?? 0)) ** 2;
        error.plc += (sample - (concealed?.[k] ?? 0)) ** 2;
      });
    }
    expect(10 * Math.log10(error.plc / error.fec)).toBeGreaterThan(6);
  });

  test("output stays within ±1 where libopus alone gives more than 1", async () => {
    const loud = speech.map((sample) => Math.sign(sample) * Math.min(1, Math.abs(sample) * 40));
    const decoder = await open();
    const peaks = (await encodeOpus(loud, { bitrate: 12_000 })).map((packet) =>
      Math.max(...(decoder.decode(packet) ?? []).map(Math.abs)),
    );
    expect(Math.max(...peaks)).toBe(1);
  });

  test("what libopus refuses is undefined: empty, 1,501 bytes, no frames, 180 ms, cut frame length", async () => {
    const decoder = await open();
    const refused = [
      new Uint8Array(0),
      new Uint8Array(1_501),
      Uint8Array.of(3, 0),
      Uint8Array.of((3 << 3) | 3, 3),
      Uint8Array.of(2, 252),
    ];
    expect(refused.map((packet) => decoder.decode(packet))).toEqual(refused.map(() => undefined));
    expect(decoder.decodeFec(new Uint8Array(0), 320)).toBeUndefined();
    expect(decoder.conceal(1)).toHaveLength(40);
    expect(decoder.conceal(99_999)).toHaveLength(1_920);
  });

  test("500 random payloads give finite samples within ±1 or nothing, and speech decodes after them", async () => {
    const decoder = await open();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.boolean(), (bytes, fec) => {
        const samples = fec ? decoder.decodeFec(bytes, 320) : decoder.decode(bytes);
        expect(samples?.every((sample) => sample >= -1 && sample <= 1) ?? true).toBe(true);
      }),
      { numRuns: 500 },
    );
    const packets = await encodeOpus(speech);
    const heard = packets.flatMap((packet) => [...(decoder.decode(packet) ?? [])]);
    expect(correlate(speech.subarray(16_000), Float32Array.from(heard.slice(16_000))).value).toBeGreaterThan(
      0.95,
    );
  });

  test.each([
    ["SILK", 24_000, 16_000],
    ["CELT", 96_000, 48_000],
  ] as const)(
    "wiping leaves nothing of the voice to conceal from: %s at %i bit/s falls below −60 dB",
    async (_, bitrate, sampleRate) => {
      const factor = sampleRate / 16_000;
      const wide = Float32Array.from(
        { length: speech.length * factor },
        (_, i) => speech[Math.floor(i / factor)] ?? 0,
      );
      const packets = await encodeOpus(wide, { bitrate, sampleRate, frameSize: sampleRate / 50 });
      const decoder = await open();
      for (const packet of packets) decoder.decode(packet);
      const before = levelDb(decoder.conceal(320));

      decoder.wipe();

      expect(before).toBeGreaterThan(-45);
      expect(levelDb(decoder.conceal(960))).toBeLessThan(-60);
    },
  );

  test("a new sender's stream on a used decoder is that of a fresh one from its 2nd packet on", async () => {
    const other = await encodeOpus(speechLike({ seconds: 1, spurts: [[0, 1]], seed: 7 }));
    const [used, fresh] = [await open(), await open()];
    for (const packet of await encodeOpus(speech)) used.decode(packet);
    const pairs = other.map((packet) => [used.decode(packet), fresh.decode(packet)]);
    expect(pairs[0]?.[0]).not.toEqual(pairs[0]?.[1]);
    for (const [after, anew] of pairs.slice(1)) expect(after).toEqual(anew);
  });

  test("closing twice is closing once, and decoding after it is `closed`", async () => {
    const decoder = await createOpusDecoder();
    decoder.close();
    decoder.close();
    expect(() => decoder.conceal(320)).toThrow(expect.objectContaining({ code: "closed" }));
  });
});
