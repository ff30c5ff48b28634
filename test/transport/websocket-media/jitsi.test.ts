import { describe, expect, test } from "vitest";
import { bestMatch } from "../../support/correlation.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { encodeOpus } from "../../support/opus-encoding.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { startMedia } from "./support.ts";

const PATH = "/v1/media/jitsi?call=standup&consent=granted&role=guest";
const voice = await bundledVoice("anna", 500, 1_000);
const packets = await encodeOpus(voice);

/** As org.jitsi.mediajson writes them: sequence numbers of events, an unwrapped chunk number, time on 48 kHz. */
const start = (endpointId: string, ssrc: number) => ({
  event: "start",
  sequenceNumber: 1,
  start: {
    tag: `${endpointId}-${ssrc}`,
    mediaFormat: { encoding: "opus", sampleRate: 48000, channels: 2 },
    customParameters: { endpointId },
  },
});
const media = (endpointId: string, ssrc: number, index: number, firstChunk = 65_500) => ({
  event: "media",
  sequenceNumber: index + 2,
  media: {
    tag: `${endpointId}-${ssrc}`,
    chunk: firstChunk + index,
    timestamp: 123_456 + index * 960,
    payload: Buffer.from(packets[index] ?? []).toString("base64"),
  },
});

describe("Jitsi's audio export", () => {
  test("2 endpoints of 1 conference are 2 participants of 1 call, across the sequence's wrap", async () => {
    await using service = await startMedia();
    const bridge = await service.peer(PATH);

    bridge.send(start("aabbccdd", 1), start("11223344", 2));
    for (let i = 0; i < packets.length; i++) bridge.send(media("aabbccdd", 1, i), media("11223344", 2, i));
    bridge.send({ event: "ping", id: 7 });
    const pong = await bridge.said("pong");
    const [first, second] = await service.arrived(2);
    bridge.socket.close();
    await Promise.all([first?.heard.completed, second?.heard.completed]);

    expect(pong).toEqual({ event: "pong", id: 7 });
    expect(first?.participant).toEqual({
      callId: "standup",
      participantId: "aabbccdd",
      role: "guest",
      consent: "granted",
    });
    expect(second?.participant.participantId).toBe("11223344");
    for (const heard of [first?.heard, second?.heard]) {
      expect(heard?.stats).toMatchObject({ received: packets.length, lost: 0, resets: 0 });
      expect(
        bestMatch(heard?.samples() ?? new Float32Array(), voice.slice(800, 14_000)).correlation,
      ).toBeGreaterThan(0.9);
    }
    expect(service.media.stats.malformed).toBe(0);
  });

  test("an endpoint with a new SSRC stays 1 participant: its stream begins anew", async () => {
    await using service = await startMedia();
    const bridge = await service.peer(PATH);

    bridge.send(start("aabbccdd", 1), media("aabbccdd", 1, 0), media("aabbccdd", 1, 1));
    bridge.send(start("aabbccdd", 9), ...[0, 1, 2, 3].map((i) => media("aabbccdd", 9, i, 5)));
    const [only] = await service.arrived(1);
    bridge.socket.close();
    await only?.heard.completed;

    expect(service.voices).toHaveLength(1);
    expect(only?.heard.stats).toMatchObject({ received: 6, resets: 1, lost: 0 });
  });

  test("who is silent for 30 s has left, and joins anew with the next word", async () => {
    const clock = new ManualClock();
    await using service = await startMedia({ clock });
    const bridge = await service.peer(PATH);
    const answered = async (id: number): Promise<void> => {
      bridge.send({ event: "ping", id });
      while (!bridge.messages.some((message) => message.id === id)) await bridge.next();
    };
    bridge.send(start("aabbccdd", 1), media("aabbccdd", 1, 0));
    const [before] = await service.arrived(1);

    for (let i = 1; i <= 31; i++) {
      clock.advance(1_000);
      await answered(i);
    }
    await before?.heard.completed;
    bridge.send(media("aabbccdd", 1, 1));
    const [, after] = await service.arrived(2);

    expect(before?.source.timedOut).toBe(true);
    expect(after?.participant).toEqual(before?.participant);
    bridge.socket.terminate();
    await service.empty();
  });

  test("media of a tag without start, and 3 starts that are none, are counted; the conference goes on", async () => {
    await using service = await startMedia();
    const bridge = await service.peer(PATH);

    bridge.send(media("nobody", 1, 0), { event: "start", start: {} }, { event: "start" }, { event: 5 });
    bridge.send(start("aabbccdd", 1), media("aabbccdd", 1, 0));

    await service.arrived(1);
    expect(service.media.stats.malformed).toBe(4);
  });
});
