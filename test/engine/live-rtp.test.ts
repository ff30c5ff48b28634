import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { OPUS } from "../../src/core/rtp.ts";
import type { Engine } from "../../src/engine.ts";
import { tonetapEventSchema } from "../../src/events/index.ts";
import { createRtpSender } from "../../src/transport/index.ts";
import { hasPeer } from "../support/system-peers.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { attachUdp, fresh, openEngine, type Recorder, recordedFrames, upTo } from "./support.ts";

const HOP_MS = 500;
const ANNA = fileURLToPath(new URL("../../assets/demo/anna.opus", import.meta.url));

describe.each([0, 2])(
  "an engine of %i shards fed with real Opus RTP over loopback",
  // In real time, in which a machine that has none to give stalls senders and overflows sockets: one run must do without.
  { concurrent: true, retry: 2 },
  (count) => {
    let engine: Engine;
    let seen: Recorder;

    beforeAll(async () => {
      ({ engine, seen } = await openEngine({ shards: { count } }));
    });
    afterAll(() => engine.close());

    test("a paced sender's 7 s of speech become schema-valid events on the sender's own clock", async () => {
      const id = fresh("paced");
      const source = await attachUdp(engine, id);
      const frames = upTo(await recordedFrames("anna"), 7_000);
      const sender = await createRtpSender({
        clock: systemClock,
        codec: OPUS,
        payloadType: 111,
        host: "127.0.0.1",
        port: source.address.port,
      });
      const startedAt = Date.now();
      await sender.play(frames);
      await sender.close();

      const left = await seen.first("participant.left", ({ data }) => data.participantId === id);

      expect(left.data.reason).toBe("left");
      const emotions = seen.of("emotion", id);
      const { emitted, abstained, gated, dropped } = left.data.windows;
      expect([emitted + abstained, dropped]).toEqual([emotions.length, 0]);
      expect(emotions.length + gated).toBeGreaterThanOrEqual(12);
      expect(emotions.length).toBeGreaterThanOrEqual(8);
      for (const event of seen.events) expect(() => tonetapEventSchema.parse(event)).not.toThrow();
      for (const { data } of emotions) {
        const sum = Object.values(data.scores).reduce((total, score) => total + score, 0);
        expect(sum).toBeCloseTo(1, 3);
        // Media time on the grid, wall time by RTCP: both tell when it was said.
        expect(data.media.endMs % HOP_MS).toBe(0);
        expect(data.wall.source).toBe("ntp");
        expect(Math.abs(Date.parse(data.wall.end) - startedAt - data.media.endMs)).toBeLessThan(500);
      }
      // The bundled truth: Anna's first words are at 0.50–2.51 s.
      const [first] = seen.of("speech.started", id);
      expect(Math.abs((first?.data.mediaMs ?? 0) - 500)).toBeLessThan(100);
    });

    test("with 10 % loss, reordering and duplication each of the 14 windows is accounted for, none twice", async () => {
      const id = fresh("impaired");
      const source = await attachUdp(engine, id);
      const frames = upTo(await recordedFrames("anna"), 7_100);
      const sent = await sendImpaired(frames, source.address.port, {
        loss: 0.1,
        duplicate: 0.1,
        reorder: 0.1,
      });
      await source.close();

      const left = await seen.first("participant.left", ({ data }) => data.participantId === id);

      const { emitted, abstained, gated, dropped } = left.data.windows;
      const emotions = seen.of("emotion", id);
      expect(emitted + abstained).toBe(emotions.length);
      expect(new Set(emotions.map(({ data }) => data.index)).size).toBe(emotions.length);
      expect(dropped).toBe(0);
      // DTX leaves the last packets out: what has come decides how many hops there were.
      const lastMs = frames.slice(0, -1).reduce((sum, frame) => sum + frame.durationTicks / 48, 0);
      expect(emitted + abstained + gated).toBeGreaterThanOrEqual(Math.floor(lastMs / HOP_MS) - 1);
      expect(emitted + abstained + gated).toBeLessThanOrEqual(14);
      const quality = seen.of("quality", id).at(-1)?.data.packets;
      expect(quality?.received).toBe(sent.packets - sent.lost + sent.duplicated);
      // The tail may be lost without anyone knowing: nothing comes behind it.
      expect(quality?.lost).toBeGreaterThanOrEqual(sent.lost - 3);
      // A busy machine may bring a reordered packet after it was given up: late then, and counted as lost before.
      const late = quality?.late ?? 0;
      expect(late).toBeLessThan(0.05 * sent.packets);
      expect(quality?.lost).toBeLessThanOrEqual(sent.lost + late);
      expect(quality?.duplicate).toBeLessThanOrEqual(sent.duplicated);
      expect(quality?.duplicate).toBeGreaterThanOrEqual(sent.duplicated - late);
    });

    test("noise on the wire, 400 bad packets of 4 sorts, disturbs neither its own participant nor another", async () => {
      const ids = [fresh("victim"), fresh("bystander")] as const;
      const victim = await attachUdp(engine, ids[0]);
      const other = await attachUdp(engine, ids[1]);
      const frames = upTo(await recordedFrames("anna"), 4_000);
      const clean = { loss: 0, duplicate: 0, reorder: 0 };

      const noise = throwNoise(victim.address.port);
      const sending = sendImpaired(frames, other.address.port, clean);
      await Promise.all([noise, sendImpaired(frames, victim.address.port, clean), sending]);
      await Promise.all([victim.close(), other.close()]);
      await seen.first("participant.left", ({ data }) => data.participantId === ids[0]);
      await seen.first("participant.left", ({ data }) => data.participantId === ids[1]);

      for (const id of ids) {
        expect(seen.of("emotion", id).length, id).toBeGreaterThanOrEqual(3);
        expect(seen.of("participant.left", id)[0]?.data.reason).toBe("left");
      }
      expect(seen.of("quality", ids[1]).at(-1)?.data.packets.ignored).toBe(0);
    });

    test.skipIf(!hasPeer("ffmpeg"))(
      "ffmpeg as the sender: 6 s over RTP are 11 or 12 windows, none twice, and at least 5 of them emotion events",
      async () => {
        const id = fresh("ffmpeg");
        const source = await attachUdp(engine, id);
        const ffmpeg = spawn(
          "ffmpeg",
          [
            ...["-hide_banner", "-loglevel", "error", "-re", "-t", "6", "-i", ANNA],
            ...["-c:a", "libopus", "-b:a", "24k", "-ar", "48000", "-ac", "2", "-payload_type", "111"],
            ...["-f", "rtp", `rtp://127.0.0.1:${source.address.port}?rtcpport=${source.address.port}`],
          ],
          { stdio: ["ignore", "ignore", "inherit"] },
        );
        const exited = new Promise<number | null>((resolve) => ffmpeg.on("exit", resolve));
        expect(await exited).toBe(0);
        await source.close();

        const left = await seen.first("participant.left", ({ data }) => data.participantId === id);

        const { emitted, abstained, gated, dropped } = left.data.windows;
        const indexes = seen.of("emotion", id).map(({ data }) => data.index);
        expect(dropped).toBe(0);
        expect(new Set(indexes).size).toBe(emitted + abstained);
        expect(emitted + abstained + gated).toBeGreaterThanOrEqual(11);
        expect(emitted + abstained + gated).toBeLessThanOrEqual(12);
        expect(indexes.length).toBeGreaterThanOrEqual(5);
        expect(seen.of("quality", id).at(-1)?.data.packets.lost).toBe(0);
      },
    );
  },
);

/** Truncated and random datagrams, an unknown payload type, and Opus garbage: none may matter. */
async function throwNoise(port: number): Promise<void> {
  const { createSocket } = await import("node:dgram");
  const { randomBytes } = await import("node:crypto");
  const { setTimeout: wait } = await import("node:timers/promises");
  const socket = createSocket("udp4");
  // The source has locked onto the first valid sender by then, or this is the first and only counts as noise.
  await wait(300);
  for (let i = 0; i < 100; i++) {
    const rtp = Buffer.concat([Buffer.from([0x80, 96]), randomBytes(30)]);
    const opusGarbage = Buffer.concat([Buffer.from([0x80, 111]), randomBytes(60)]);
    for (const bytes of [Buffer.from([0x80]), randomBytes(40), rtp, opusGarbage]) {
      socket.send(bytes, port, "127.0.0.1");
    }
    await wait(10);
  }
  socket.close();
}
