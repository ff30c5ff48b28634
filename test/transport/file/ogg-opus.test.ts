import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { readAudioFile } from "../../../src/transport/file/audio-file.ts";
import { type OggOpusContent, readOggOpus, writeOggOpus } from "../../../src/transport/file/ogg-opus.ts";
import { rtpPayloads } from "../../../src/transport/file/ogg-opus-player.ts";
import { OpusFrameEncoder } from "../../../src/transport/file/opus-rtp-encoder.ts";
import { tone } from "../../support/wav.ts";

/** 16 kHz mono PCM as an Ogg Opus file's content. */
async function encode(samples: Float32Array, dtx = false): Promise<OggOpusContent> {
  using encoder = await OpusFrameEncoder.create({ dtx });
  const packets = [];
  for (let at = 0; at + encoder.frameSamples <= samples.length; at += encoder.frameSamples) {
    packets.push({
      payload: encoder.encode(samples.subarray(at, at + encoder.frameSamples)),
      durationTicks: 960,
    });
  }
  return {
    channels: 1,
    preSkipTicks: encoder.lookaheadTicks,
    inputRateHz: 16_000,
    comments: ["TITLE=A tone", "SOURCE=Prüfung"],
    packets,
    durationTicks: packets.length * 960 - encoder.lookaheadTicks,
    serial: 7,
  };
}

describe("Ogg Opus", () => {
  it("reads back the 150 packets that it wrote", async () => {
    const content = await encode(tone(300, 16_000, 3));
    const { serial: _, ...expected } = content;

    const bytes = writeOggOpus(content);

    expect(readOggOpus(bytes)).toEqual(expected);
    expect(writeOggOpus(content)).toEqual(bytes);
  });

  it("survives any 50 lists of packet sizes up to 3,000 bytes", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 80 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const packets = lengths.map((length, i) => {
          const payload = new Uint8Array(length).fill(i);
          payload[0] = 0x48;
          return { payload, durationTicks: 960 };
        });
        const content = {
          channels: 1,
          preSkipTicks: 0,
          inputRateHz: 16_000,
          comments: [],
          packets,
          serial: 1,
        };
        const file = readOggOpus(writeOggOpus({ ...content, durationTicks: packets.length * 960 }));
        expect(file.packets).toEqual(packets);
      }),
      { numRuns: 50 },
    );
  });

  it("writes files that another decoder reads to the exact sample, end trim included", async () => {
    const content = { ...(await encode(tone(300, 16_000, 2))), durationTicks: 90_001 };

    const { samples, sampleRateHz } = await readAudioFile(writeOggOpus(content));

    expect(sampleRateHz).toBe(48_000);
    expect(samples.length).toBe(90_001);
  });

  const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;
  if (!hasFfmpeg)
    console.warn("ogg-opus.test: ffmpeg is not installed: files of other muxers are NOT tested");
  it.skipIf(!hasFfmpeg)("reads ffmpeg's file: 5 s, pre-skip 312, stereo", () => {
    const args = ["-v", "error", "-f", "lavfi", "-i", "sine=duration=5", "-ac", "2", "-c:a", "libopus"];
    const made = spawnSync("ffmpeg", [...args, "-f", "opus", "pipe:1"], { maxBuffer: 1 << 24 });

    const file = readOggOpus(made.stdout);

    expect(file).toMatchObject({ channels: 2, preSkipTicks: 312, durationTicks: 240_000 });
    expect(file.packets.length).toBe(251);
  });

  it("refuses a file with any 1 byte of a page changed", async () => {
    const bytes = writeOggOpus(await encode(tone(300, 16_000, 0.5)));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = bytes.slice();
        damaged[at] = (damaged[at] ?? 0) ^ change;
        expect(() => readOggOpus(damaged, "call.opus")).toThrow(TonetapError);
      }),
    );
  });

  it("refuses 4 kinds of broken streams and says why", async () => {
    const bytes = writeOggOpus(await encode(tone(300, 16_000, 3)));
    const pages: number[] = [];
    for (let at = 0; at < bytes.length; at++) {
      if (new TextDecoder().decode(bytes.subarray(at, at + 4)) === "OggS") pages.push(at);
    }
    const [, tags = 0, first = 0, second = 0] = pages;
    const without = (from: number, to: number): Uint8Array =>
      Uint8Array.from([...bytes.subarray(0, from), ...bytes.subarray(to)]);

    expect(() => readOggOpus(bytes.subarray(0, bytes.length - 9))).toThrow(/truncated page at byte/);
    expect(() => readOggOpus(without(first, second))).toThrow(/page 2 is missing/);
    expect(() => readOggOpus(bytes.subarray(tags))).toThrow(/the stream's first page is missing/);
    expect(() => readOggOpus(new Uint8Array(0), "call.opus")).toThrow("call.opus: is empty");
  });
});

describe("rtpPayloads", () => {
  it("leaves DTX packets out, and the timestamps still add up to 4 s", async () => {
    const samples = new Float32Array(64_000);
    samples.set(tone(300, 16_000, 1));
    samples.set(tone(300, 16_000, 1), 48_000);
    const content = await encode(samples, true);

    const payloads = rtpPayloads(content);

    expect(payloads.length).toBeLessThan(content.packets.length - 50);
    expect(payloads.every(({ payload }) => payload.length > 2)).toBe(true);
    expect(payloads.reduce((sum, { durationTicks }) => sum + durationTicks, 0)).toBe(4 * 48_000);
    expect(payloads[0]?.marker).toBe(true);
    let ticks = 0;
    const marked: number[] = [];
    for (const { marker, durationTicks } of payloads) {
      if (marker) marked.push(ticks / 48_000);
      ticks += durationTicks;
    }
    expect(marked.at(-1)).toBeCloseTo(3, 1);
  });
});
