import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readAudioFile, resampleTo16k } from "../../../src/transport/file/audio-file.ts";
import { readOggOpus } from "../../../src/transport/file/ogg-opus.ts";
import { readRtpPayloads } from "../../../src/transport/file/ogg-opus-player.ts";

const folder = new URL("../../../assets/demo/", import.meta.url);
const path = (name: string): string => new URL(name, folder).pathname;

interface Segment {
  readonly speaker: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly emotion: string;
}
const timeline = JSON.parse(readFileSync(path("timeline.json"), "utf8")) as {
  durationMs: number;
  segments: Segment[];
};

describe("the bundled recording", () => {
  it.each(["anna", "ben"])("holds 60–75 s of %s in less than 150 kB, at 20 ms a packet", (name) => {
    const bytes = readFileSync(path(`${name}.opus`));
    const file = readOggOpus(bytes);

    expect(bytes.length).toBeLessThan(150_000);
    expect(file.channels).toBe(1);
    expect(file.durationTicks / 48).toBe(timeline.durationMs);
    expect(timeline.durationMs).toBeGreaterThanOrEqual(60_000);
    expect(timeline.durationMs).toBeLessThanOrEqual(75_000);
    expect(new Set(file.packets.map((packet) => packet.durationTicks))).toEqual(new Set([960]));
  });

  it.each(["anna", "ben"])(
    "sends nothing in 30 %% of %s's time, where the other one speaks",
    async (name) => {
      const payloads = await readRtpPayloads(path(`${name}.opus`));
      const ticks = payloads.reduce((sum, payload) => sum + payload.durationTicks, 0);

      const silent = ticks - payloads.length * 960;

      expect(silent / ticks).toBeGreaterThan(0.3);
      expect(payloads.every(({ durationTicks }) => durationTicks <= 960 * 21)).toBe(true);
    },
  );

  it.each(["anna", "ben"])("has %s's voice where the timeline says, and −60 dBFS elsewhere", async (name) => {
    const samples = resampleTo16k(await readAudioFile(path(`${name}.opus`)));
    const own = timeline.segments.filter((segment) => segment.speaker === name);
    const rmsDb = (fromMs: number, toMs: number): number => {
      const part = samples.subarray(fromMs * 16, toMs * 16);
      return 10 * Math.log10(part.reduce((sum, x) => sum + x * x, 1e-12) / part.length);
    };

    let before = 0;
    for (const { startMs, endMs } of own) {
      expect(rmsDb(startMs, endMs)).toBeGreaterThan(-35);
      expect(rmsDb(before + 60, startMs - 20)).toBeLessThan(-60);
      before = endMs;
    }
    expect(rmsDb(before + 60, timeline.durationMs)).toBeLessThan(-60);
  });

  it("lets each speaker express 4 emotions, and both talk at once 3 times", () => {
    for (const name of ["anna", "ben"]) {
      const own = timeline.segments.filter((segment) => segment.speaker === name);
      expect(new Set(own.map((segment) => segment.emotion))).toEqual(
        new Set(["neutral", "happy", "angry", "sad"]),
      );
    }
    const { segments } = timeline;
    const overlaps = segments.filter(
      (segment, i) => i > 0 && segment.startMs < (segments[i - 1]?.endMs ?? 0),
    );
    expect(overlaps.length).toBe(3);
  });
});
