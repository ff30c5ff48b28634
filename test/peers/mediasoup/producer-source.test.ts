/** Sources out of a real mediasoup router, without an engine behind them: what arrives, and how it ends. */
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import type { SenderReport } from "../../../src/core/rtp.ts";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import { createUdpRtpSource } from "../../../src/transport/index.ts";
import { forwardProducer, sourceFromProducer } from "../../../src/transport/mediasoup/index.ts";
import { recordedFrames } from "../../engine/support.ts";
import { eventually } from "../../transport/loopback.ts";
import type { Room, Speaker } from "./room.ts";
import { hasMediasoup } from "./setup.ts";
import { collect } from "./support.ts";

const FRAME_TICKS = 960;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe.skipIf(!hasMediasoup())("a source from a mediasoup producer", () => {
  let openRoom: () => Promise<Room>;
  let frames: RtpPayload[];
  beforeAll(async () => {
    // mediasoup may not be installed: it is loaded only where the tests run.
    openRoom = (await import("./room.ts")).Room.open;
    frames = (await recordedFrames("anna")).slice(0, 500);
  });

  test("gives all 500 packets with their payload, order, spacing and RFC 6464 level, 0 lost", async () => {
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna");
    const source = await sourceFromProducer(room.router, producer);
    const { packets } = collect(source);
    const reports: SenderReport[] = [];
    source.senderReports?.subscribe((report) => reports.push(report));
    // 5 times real time: mediasoup does not mind, and the test is 2 s long.
    const fast = frames.map(({ payload }, i) => ({
      payload,
      durationTicks: FRAME_TICKS / 5,
      audioLevel: { voice: i % 2 === 0, level: i % 128 },
    }));

    const startWallMs = Date.now();
    await sender.play(fast);
    await eventually(() => packets.length >= 500);

    expect(packets.length).toBe(500);
    expect(packets.map(({ payload }) => hex(payload))).toEqual(frames.map(({ payload }) => hex(payload)));
    const [first] = packets;
    for (const [i, packet] of packets.entries()) {
      expect((packet.sequence - (first?.sequence ?? 0)) & 0xffff).toBe(i);
      expect((packet.timestamp - (first?.timestamp ?? 0)) >>> 0).toBe((i * FRAME_TICKS) / 5);
      expect(packet.audioLevel).toEqual({ voice: i % 2 === 0, level: i % 128 });
      expect(source.codecs.get(packet.payloadType)?.mimeType).toBe("audio/opus");
    }
    // One every 0.5 s; the sender's clock is this machine's.
    expect(reports.length).toBeGreaterThanOrEqual(3);
    const lagsMs = reports.map(({ ntpWallMs, rtpTimestamp, ssrc }) => {
      expect(ssrc).toBe(first?.ssrc);
      const mediaMs = (((rtpTimestamp - (first?.timestamp ?? 0)) | 0) * 1000) / 48_000;
      return ntpWallMs - startWallMs - mediaMs;
    });
    // A busy machine begins late, and never early: the quickest report says how right the time is.
    expect(Math.abs(Math.min(...lagsMs))).toBeLessThan(500);
    await source.close();
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
    expect(producer.closed).toBe(false);
    expect(producer.observer.listenerCount("close") + producer.observer.listenerCount("trace")).toBe(0);
  });

  const gone = { code: "unavailable", message: "the mediasoup worker has gone" };
  const endings: [who: string, how: object | string, close: (room: Room, speaker: Speaker) => void][] = [
    ["its producer", "complete", (_, { producer }) => producer.close()],
    ["the producer's transport", "complete", (_, { transport }) => transport.close()],
    ["the router", "complete", ({ router }) => router.close()],
    ["the worker", gone, ({ worker }) => worker.close()],
    ["the worker, by SIGKILL,", gone, ({ worker }) => process.kill(worker.pid, "SIGKILL")],
  ];
  test.each(endings)(
    "ends once when %s closes, and with 0 errors but for the worker's, and takes its listeners off",
    async (_, how, close) => {
      await using room = await openRoom();
      const speaker = await room.speaker("anna");
      const { producer } = speaker;
      const source = await sourceFromProducer(room.router, producer);
      const collected = collect(source);
      await speaker.sender.play(frames.slice(0, 10));
      await eventually(() => collected.packets.length === 10);

      close(room, speaker);
      await eventually(() => collected.end !== undefined);

      if (typeof how === "string") expect(collected.end).toBe(how);
      else expect(collected.end).toMatchObject(how);
      expect(room.router.listenerCount("workerclose")).toBe(0);
      expect(producer.observer.listenerCount("close") + producer.observer.listenerCount("trace")).toBe(0);
      expect(room.router.observer.listenerCount("close")).toBe(0);
      if (!room.router.closed) expect((await room.left()).consumers).toBe(0);
    },
  );

  test("of a producer that is paused for 1 s gives 0 packets meanwhile, and all 25 of after, numbered on", async () => {
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna");
    const source = await sourceFromProducer(room.router, producer);
    const { packets } = collect(source);
    await sender.play(frames.slice(0, 25));
    await eventually(() => packets.length === 25);

    await producer.pause();
    await sender.play(frames.slice(25, 75));
    expect(packets.length).toBe(25);
    await producer.resume();
    await sender.play(frames.slice(75, 100));
    await eventually(() => packets.length === 50);

    expect(packets.map(({ sequence }) => (sequence - (packets[0]?.sequence ?? 0)) & 0xffff)).toEqual(
      Array.from({ length: 50 }, (_, i) => i),
    );
    await source.close();
  });

  test("refuses 4 things in words: video, another router's producer, a closed one, a closed router", async () => {
    await using room = await openRoom();
    await using other = await openRoom();
    const { transport, producer } = await room.speaker("anna");
    const video = await transport.produce({
      kind: "video",
      rtpParameters: {
        codecs: [{ mimeType: "video/VP8", payloadType: 96, clockRate: 90_000 }],
        encodings: [{ ssrc: 1 }],
      },
    });

    await expect(sourceFromProducer(room.router, video)).rejects.toMatchObject({
      code: "invalid-argument",
      message: `producer ${video.id} must be audio, got video`,
    });
    await expect(sourceFromProducer(other.router, producer)).rejects.toMatchObject({ code: "unavailable" });
    expect(await other.left()).toEqual({ transports: 0, consumers: 0 });
    producer.close();
    await expect(sourceFromProducer(room.router, producer)).rejects.toMatchObject({ code: "closed" });
    const { producer: second } = await room.speaker("ben");
    const opening = sourceFromProducer(room.router, second);
    room.router.close();
    await expect(opening).rejects.toMatchObject({ code: "closed" });
  });

  test("forwarded to a plain RTP port in 1 line, it brings the same 150 packets there, and ends with its producer", async () => {
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna");
    await using port = await createUdpRtpSource({
      clock: systemClock,
      host: "127.0.0.1",
      port: 0,
      // What a router calls Opus when it is the first codec.
      codecs: new Map([[100, { mimeType: "audio/opus", clockRateHz: 48_000, channels: 2 }]]),
    });
    const { packets } = collect(port);
    const forwarded = await forwardProducer(room.router, producer, port.address);

    await sender.play(frames.slice(0, 150));
    await eventually(() => packets.length === 150);

    expect([...forwarded.codecs]).toEqual([...port.codecs]);
    expect(packets.map(({ payload }) => hex(payload))).toEqual(
      frames.slice(0, 150).map(({ payload }) => hex(payload)),
    );
    producer.close();
    await eventually(() => forwarded.closed);
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
  });
});
