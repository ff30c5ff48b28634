import { createDecoder } from "libopus-wasm";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { monotonicMs } from "../../../src/core/units.ts";
import { OpusFrameEncoder, OpusRtpEncoder } from "../../../src/transport/file/opus-rtp-encoder.ts";
import { tone } from "../../support/wav.ts";

const frames = (samples: Float32Array, length: number): Float32Array[] =>
  Array.from({ length: Math.floor(samples.length / length) }, (_, i) =>
    samples.subarray(i * length, (i + 1) * length),
  );

/** Something like a voice: a buzz whose pitch and loudness come and go; above the high-pass that VoIP mode applies. */
const buzz = (seconds: number): Float32Array =>
  Float32Array.from({ length: 16_000 * seconds }, (_, i) => {
    const phase = (i / 16_000) * 300 + 2 * Math.sin(i / 3_000);
    const envelope = 0.5 + 0.5 * Math.sin(i / 2_500);
    return (
      envelope * 0.15 * [1, 2, 3, 5, 8].reduce((sum, k) => sum + Math.sin(2 * Math.PI * k * phase) / k, 0)
    );
  });

describe("OpusRtpEncoder", () => {
  it.each([16_000, 48_000] as const)(
    "numbers 50 packets of 20 ms at %i Hz, across both wraps",
    async (rateHz) => {
      using encoder = await OpusRtpEncoder.create({
        inputRateHz: rateHz,
        payloadType: 96,
        ssrc: 0xdead_beef,
        firstSequence: 65_530,
        firstTimestamp: 2 ** 32 - 960,
      });

      const packets = frames(tone(300, rateHz, 1), encoder.frameSamples).map((frame, i) =>
        encoder.encode(frame, monotonicMs(20 * i)),
      );

      expect(packets.map((packet) => packet?.sequence)).toEqual(
        Array.from({ length: 50 }, (_, i) => (65_530 + i) % 65_536),
      );
      expect(packets.slice(0, 3).map((packet) => packet?.timestamp)).toEqual([2 ** 32 - 960, 0, 960]);
      expect(packets[7]).toMatchObject({ ssrc: 0xdead_beef, payloadType: 96, marker: false, arrivalMs: 140 });
      expect(packets[0]?.marker).toBe(true);
    },
  );

  it("says nothing in most of 2 s of silence, then goes on with a marker and the right timestamp", async () => {
    using encoder = await OpusRtpEncoder.create({ dtx: true });
    const samples = new Float32Array(64_000);
    samples.set(buzz(1));
    samples.set(buzz(1), 48_000);

    const packets = frames(samples, encoder.frameSamples).map((frame) =>
      encoder.encode(frame, monotonicMs(0)),
    );

    const sent = packets.filter((packet) => packet !== undefined);
    expect(sent.length).toBeLessThan(140);
    expect(sent.map((packet) => packet.sequence)).toEqual(sent.map((_, i) => i));
    for (const [i, packet] of packets.entries())
      if (packet !== undefined) expect(packet.timestamp).toBe(960 * i);
    expect(packets.findLast((packet) => packet?.marker)?.timestamp).toBeGreaterThanOrEqual(2.9 * 48_000);
  });

  it("keeps the voice at 24 kbit/s: the decoded buzz correlates above 0.9 with its source", async () => {
    using encoder = await OpusFrameEncoder.create();
    using decoder = await createDecoder({ sampleRate: 16_000, channels: 1 });
    const source = buzz(4);

    const payloads = frames(source, encoder.frameSamples).map((frame) => encoder.encode(frame));
    const decoded = payloads.flatMap((payload) => [...decoder.decodeFloat(payload)]);

    const lag = encoder.lookaheadTicks / 3;
    let [xy, xx, yy] = [0, 0, 0];
    for (let i = 8_000; i + lag < decoded.length; i++) {
      const x = source[i] ?? 0;
      const y = decoded[i + lag] ?? 0;
      xy += x * y;
      xx += x * x;
      yy += y * y;
    }
    expect(xy / Math.sqrt(xx * yy)).toBeGreaterThan(0.9);
    const bits = payloads.reduce((sum, payload) => sum + 8 * payload.length, 0);
    expect(bits / 4).toBeLessThan(30_000);
  });

  it("puts FEC into packets, so that 1 lost frame comes back with its loudness", async () => {
    using encoder = await OpusFrameEncoder.create({ expectedLossPercent: 20 });
    using decoder = await createDecoder({ sampleRate: 16_000, channels: 1 });
    const payloads = frames(buzz(2), encoder.frameSamples).map((frame) => encoder.encode(frame));
    const rms = (samples: Float32Array): number =>
      Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    const truth = payloads.map((payload) => decoder.decodeFloat(payload));

    using lossy = await createDecoder({ sampleRate: 16_000, channels: 1 });
    for (const payload of payloads.slice(0, 60)) lossy.decodeFloat(payload);
    const recovered = lossy.decodeFloat(payloads[61] ?? null, { decodeFec: true, frameSize: 320 });

    const lost = truth[60] ?? new Float32Array(320);
    const error = rms(recovered.map((x, i) => x - (lost[i] ?? 0)));
    expect(error).toBeLessThan(0.5 * rms(lost));
  });

  it.each([
    [{ bitrate: 5_999 }, /bitrate must be 6000–128000 bit\/s, got 5999/],
    [{ expectedLossPercent: 101 }, /expectedLossPercent must be 0–100 %, got 101/],
    [{ payloadType: 128 }, /payloadType must be 0–127, got 128/],
  ])("refuses %o and names the range", async (options, message) => {
    await expect(OpusRtpEncoder.create(options)).rejects.toThrow(message);
  });

  it("refuses a frame of 319 samples", async () => {
    using encoder = await OpusFrameEncoder.create();
    expect(() => encoder.encode(new Float32Array(319))).toThrow(TonetapError);
  });
});
