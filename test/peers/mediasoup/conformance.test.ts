/** A source out of mediasoup keeps the contract of all sources; G.711, loss and silence come through a router as well. */
import { createSocket } from "node:dgram";
import { beforeAll, describe, expect, test } from "vitest";
import { checkAudioSource } from "../../../src/conformance/index.ts";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import { PCMU } from "../../../src/core/rtp.ts";
import { parseRtcp } from "../../../src/transport/index.ts";
import { attachRouter, sourceFromProducer } from "../../../src/transport/mediasoup/index.ts";
import { opusStream, recordedFrames, upTo } from "../../engine/support.ts";
import { bestMatch } from "../../support/correlation.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { pcmuFrames, telephoneVoice } from "../../support/pcmu.ts";
import { opusPayload } from "../../transport/packets.ts";
import { listening } from "../../transport/sip/listening.ts";
import type { Room } from "./room.ts";
import { hasMediasoup } from "./setup.ts";

describe.skipIf(!hasMediasoup())("a source from a mediasoup producer", () => {
  let openRoom: () => Promise<Room>;
  beforeAll(async () => {
    // mediasoup may not be installed: it is loaded only where the tests run.
    openRoom = (await import("./room.ts")).Room.open;
  });

  test("keeps the contract of sources: 13 checks", async () => {
    const report = await checkAudioSource(async () => {
      const room = await openRoom();
      const { producer, sender } = await room.speaker("anna");
      const frames = Array.from({ length: 12 }, (_, i) => ({ payload: opusPayload(i) }));
      return {
        source: await sourceFromProducer(room.router, producer),
        send: () => sender.play(frames),
        leave: async () => producer.close(),
        dispose: () => room[Symbol.asyncDispose](),
      };
    });

    expect(report.passed, report.text).toBe(true);
    expect(report.checks).toHaveLength(13);
  });

  test("what attachRouter gives to an engine keeps it too, and fails with its worker: 13 checks", async () => {
    const report = await checkAudioSource(async () => {
      const room = await openRoom();
      const given = Promise.withResolvers<AudioSource>();
      const target = {
        attach: async (source: AudioSource) => {
          given.resolve(source);
          return { close: () => Promise.resolve() };
        },
      };
      const tap = attachRouter(target, room.router, {
        graceMs: 0,
        participantOf: () => ({ callId: "room", participantId: "anna" }),
      });
      const { producer, sender } = await room.speaker("anna");
      const frames = Array.from({ length: 12 }, (_, i) => ({ payload: opusPayload(i) }));
      return {
        source: await given.promise,
        send: () => sender.play(frames),
        leave: async () => producer.close(),
        fail: async () => void process.kill(room.worker.pid, "SIGKILL"),
        dispose: async () => {
          await tap.close();
          await room[Symbol.asyncDispose]();
        },
      };
    });

    expect(report.passed, report.text).toBe(true);
    expect(report.checks).toHaveLength(13);
    expect(report.checks.filter(({ outcome }) => outcome === "skipped")).toEqual([]);
  });

  test("3 s of PCMU through a router: 0 lost, correlation ≥ 0.99", async () => {
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna", PCMU);
    const source = await sourceFromProducer(room.router, producer);
    const heard = await listening();
    heard.listen(source);
    const { pcmu, reference16k } = await telephoneVoice("anna", 500, 3_000);

    await sender.play(pcmuFrames(pcmu));
    await expect.poll(() => heard.stats.received).toBe(150);
    producer.close();
    await heard.completed;

    expect([...source.codecs.values()]).toContainEqual(PCMU);
    expect(heard.stats).toMatchObject({ lost: 0, resets: 0 });
    const { correlation } = bestMatch(heard.samples(), reference16k.slice(0, 47_900));
    expect(correlation).toBeGreaterThan(0.99);
  });

  test.each([
    ["sends again what it is asked for", true],
    ["does not send again", false],
  ])("of 250 packets 25 are lost before the router: by a sender that %s", async (_, answers) => {
    await using room = await openRoom();
    const { transport } = await room.speaker("nobody");
    const stream = opusStream();
    const socket = createSocket("udp4").bind(0, "127.0.0.1");
    const frames = upTo(await recordedFrames("anna"), 5_000);
    const sent = new Map<number, Uint8Array>();
    const asked = new Set<number>();
    socket.on("message", (datagram) => {
      for (const { ssrc, sequences } of parseRtcp(datagram, systemClock.now()).nacks) {
        if (ssrc !== stream.ssrc) continue;
        for (const sequence of sequences) asked.add(sequence);
        for (const sequence of answers ? sequences : [])
          socket.send(sent.get(sequence) ?? "", transport.tuple.localPort, "127.0.0.1");
      }
    });
    const { produce } = await import("./room.ts");
    const producer = await produce(transport, "lossy", stream.ssrc);
    const source = await sourceFromProducer(room.router, producer);
    const heard = await listening({ minWaitMs: 1_000, maxWaitMs: 2_000 });
    heard.listen(source);

    const start = systemClock.now();
    for (const [i, frame] of frames.entries()) {
      await sleep(systemClock, Math.max(0, start + i * 20 - systemClock.now()));
      const packet = stream.packet(frame);
      sent.set((packet[2] ?? 0) * 256 + (packet[3] ?? 0), packet);
      if (i % 10 !== 5) socket.send(packet, transport.tuple.localPort, "127.0.0.1");
    }
    await expect.poll(() => asked.size).toBe(25);
    await expect.poll(() => heard.stats.received).toBe(answers ? 250 : 225);
    producer.close();
    await heard.completed;
    socket.close();

    console.log(`mediasoup asked for ${asked.size} of 25 lost packets; ${heard.stats.lost} stayed lost`);
    expect(frames).toHaveLength(250);
    expect(heard.stats.lost).toBe(answers ? 0 : 25);
    expect(heard.endMs()).toBe(5_000);
  });

  test("silence that a sender leaves out (DTX) is a gap and no loss: 5 packets of 420 ms each keep the time", async () => {
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna");
    const source = await sourceFromProducer(room.router, producer);
    const heard = await listening();
    heard.listen(source);
    // The bundled voice's own DTX: 0.4 s of speech, then packets that stand for 420 ms.
    const frames = (await recordedFrames("anna")).slice(319, 344);
    const silent = frames.filter(({ durationTicks }) => durationTicks > 960);

    await sender.play(frames);
    await expect.poll(() => heard.stats.received).toBe(frames.length);
    producer.close();
    await heard.completed;

    expect(silent.map(({ durationTicks }) => durationTicks / 48)).toEqual([420, 420, 420, 420, 420]);
    expect(heard.stats).toMatchObject({ lost: 0, resets: 0, ignored: { empty: 0, unknownType: 0 } });
    // The last packet holds 20 ms of the 420 that it stands for.
    const mediaMs = frames.reduce((sum, { durationTicks }) => sum + durationTicks / 48, 0) - 400;
    expect(heard.endMs()).toBe(mediaMs);
  });

  test("with inactivityMs 30,000 it ends 30 s after the last packet as timed out; a pause of 1 h does not count", async () => {
    const clock = new ManualClock();
    await using room = await openRoom();
    const { producer, sender } = await room.speaker("anna");
    const source = await sourceFromProducer(room.router, producer, { clock, inactivityMs: 30_000 });
    const heard: unknown[] = [];
    const { promise: completed, resolve } = Promise.withResolvers<void>();
    source.packets.subscribe({ next: (packet) => heard.push(packet), complete: resolve });

    clock.advance(20_000);
    await sender.play([{ payload: opusPayload(1) }]);
    await expect.poll(() => heard.length).toBe(1);
    clock.advance(29_000);
    await producer.pause();
    clock.advance(3_600_000);
    await producer.resume();
    expect(source.timedOut).toBe(false);
    clock.advance(30_000);
    await completed;

    expect(source.timedOut).toBe(true);
    expect(producer.closed).toBe(false);
    expect(clock.pending).toBe(0);
    await expect(sourceFromProducer(room.router, producer, { inactivityMs: 1 })).rejects.toThrow(
      "inactivityMs must be 1000–3600000 ms, got 1",
    );
  });
});
