import { createSocket } from "node:dgram";
import { Subject } from "rxjs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { type AudioCodec, OPUS, type RtpPacket } from "../../src/core/rtp.ts";
import { createEngine, type Engine } from "../../src/engine.ts";
import type { ShardPool } from "../../src/shards/shard-pool.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, openEngine, type Recorder, recordedFrames, upTo } from "../engine/support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };

describe.each(["forwarded", "own"] as const)("a participant on one of 2 shards, %s packets", (kind) => {
  let engine: Engine;
  let seen: Recorder;

  // Of its own for each try.
  beforeEach(async () => {
    ({ engine, seen } = await openEngine({ shards: { count: 2 }, overload: { control: "off" } }));
  });
  afterEach(() => engine.close());

  const attach = async (participantId: string, consent: "granted" | "pending" = "granted") => {
    if (kind === "forwarded") return attachUdp(engine, participantId, { consent });
    const source = await engine.media.openRtp({});
    await engine.attach(source, { callId: "test", participantId, consent });
    return source;
  };

  test("5 s of speech become emotions with the latency of the main thread's clock, and its counters are exact", async () => {
    const source = await attach("ada");
    const frames = upTo(await recordedFrames("anna"), 5_000);
    const sent = await sendImpaired(frames, source.address.port, CLEAN);
    await expect.poll(() => seen.of("emotion", "ada").length).toBeGreaterThan(0);
    await engine.participant("test", "ada").close();

    const latencies = seen.of("emotion", "ada").map(({ data }) => data.latency.totalMs);
    expect(Math.min(...latencies)).toBeGreaterThan(0);
    // Of another clock it would be off by the age of the process, or of the machine.
    expect(Math.max(...latencies)).toBeLessThan(60_000);
    const quality = seen.of("quality", "ada").at(-1)?.data;
    expect(quality?.packets.received).toBe(sent.packets);
    expect(quality?.codec).toBe(OPUS.mimeType);
    expect(seen.of("participant.left", "ada").map(({ data }) => data.reason)).toEqual(["removed"]);
    const { emitted, abstained, gated, dropped } = seen.of("participant.left", "ada")[0]?.data.windows ?? {};
    expect((emitted ?? 0) + (abstained ?? 0)).toBe(latencies.length);
    expect([(gated ?? 0) > 0, dropped]).toEqual([true, 0]);
    await expect.poll(() => engine.media.shards.map(({ participants }) => participants)).toEqual([0, 0]);
  });
});

describe("a shard that is killed under load", () => {
  test("of 4 participants or more those on it go on elsewhere with their numbers, and those on the other lose not 1 window", async () => {
    const { engine, seen } = await openEngine({ shards: { count: 2 }, overload: { control: "off" } });
    const pool = engine.media as ShardPool;
    const frames = upTo(await recordedFrames("anna"), 6_500);
    // That they started says nothing of their load; a busy machine takes its time to show it.
    const load = (): number => Math.max(...pool.shards.map(({ utilization }) => utilization));
    await expect.poll(load).toBeLessThan(0.02);
    const names: string[] = [];
    const sources = [];
    const present = (): number[] => pool.shards.map(({ participants }) => participants);
    while (names.length < 4 || (present().includes(0) && names.length < 12)) {
      const participantId = `p${names.length}`;
      if (names.length % 2 === 0) sources.push(await attachUdp(engine, participantId));
      else {
        const source = await engine.media.openRtp({});
        await engine.attach(source, { callId: "test", participantId, consent: "granted" });
        sources.push(source);
      }
      names.push(participantId);
    }
    expect(present()).not.toContain(0);
    const onIt = pool.shards[0]?.participants ?? 0;
    const sending = Promise.all(sources.map(({ address }) => sendImpaired(frames, address.port, CLEAN)));
    await seen.first("emotion");

    await pool.replace(0);
    await expect.poll(() => seen.of("participant.recovered").length).toBe(onIt);
    const moved = seen.of("participant.recovered").map(({ data }) => data.participantId);
    const before = new Map(names.map((name) => [name, seen.of("emotion", name).length]));
    await sending;
    for (const name of names) await engine.participant("test", name).close();

    for (const name of names) {
      const indexes = seen.of("emotion", name).map(({ data }) => data.index);
      expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
      expect(indexes.length).toBeGreaterThan(before.get(name) ?? 0);
      expect(seen.of("participant.left", name).map(({ data }) => data.reason)).toEqual(["removed"]);
    }
    for (const name of names.filter((one) => !moved.includes(one))) {
      const { emitted, abstained, gated, dropped } = seen.of("participant.left", name)[0]?.data.windows ?? {};
      expect(dropped).toBe(0);
      expect((emitted ?? 0) + (abstained ?? 0) + (gated ?? 0)).toBeGreaterThanOrEqual(12);
    }
    expect(pool.shards.map(({ restarts }) => restarts)).toEqual([1, 0]);
    await engine.close();
  });
});

test("a stream that is forgotten before each of its windows has them fetched whole: 0 of them are lost", async () => {
  const { engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" } });
  const source = await engine.media.openRtp({});
  await engine.attach(source, { callId: "test", participantId: "ada", consent: "granted" });
  const key = JSON.stringify(["test", "ada"]);
  engine.events$.subscribe(({ type }) => {
    if (type === "tonetap.emotion") engine.models.forget(key);
  });

  await sendImpaired(upTo(await recordedFrames("anna"), 5_000), source.address.port, CLEAN);
  await expect.poll(() => seen.of("emotion", "ada").length, { timeout: 10_000 }).toBeGreaterThan(2);
  await engine.participant("test", "ada").close();

  const { emitted = 0, abstained = 0, dropped } = seen.of("participant.left", "ada")[0]?.data.windows ?? {};
  // Every judgement was told, whether the model was sure or not.
  expect([emitted + abstained, dropped]).toEqual([seen.of("emotion", "ada").length, 0]);
  // Each began its stream anew.
  expect(engine.batcherStats.streams).toMatchObject({ steps: 0 });
  expect((engine.media as ShardPool).isWiped()).toBe(true);
  await engine.close();
}, 30_000);

describe("consent withdrawn from a participant on a shard", () => {
  test("wipes audio, features and windows within 1 hop: nothing is told after it, and no row of shared memory keeps a number", async () => {
    const { engine, seen } = await openEngine({
      shards: { count: 1 },
      window: { hopMs: 100 },
      overload: { control: "off" },
    });
    const source = await engine.media.openRtp({});
    await engine.attach(source, { callId: "test", participantId: "ada", consent: "granted" });
    const participant = engine.participant("test", "ada");
    const frames = upTo(await recordedFrames("anna"), 8_000);
    const sending = sendImpaired(frames, source.address.port, CLEAN);
    await seen.first("emotion");

    await participant.setConsent("withdrawn");
    const told = seen.of("emotion", "ada").length + seen.of("speech.started", "ada").length;
    // One hop, and what a busy machine needs to take its turn.
    await expect.poll(() => (engine.media as ShardPool).windowsUnderWay).toBe(0);
    expect((engine.media as ShardPool).isWiped()).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(seen.of("emotion", "ada").length + seen.of("speech.started", "ada").length).toBe(told);
    const received = participant.jitterStats.received;

    await participant.setConsent("granted");
    const before = seen.of("emotion", "ada").length;
    await expect.poll(() => seen.of("emotion", "ada").length).toBeGreaterThan(before);
    await sending;
    await participant.close();

    // Packets that came in between were nobody's: counted by the door, looked at by none.
    expect(participant.jitterStats.received).toBeGreaterThan(received);
    const indexes = seen.of("emotion", "ada").map(({ data }) => data.index);
    expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
    await engine.close();
  });
});

describe("who cannot be moved when a shard breaks down", () => {
  test("an SRTP sender leaves with the error, 1 call fails with it, and its port is free again", async () => {
    const { engine, seen } = await openEngine({ shards: { count: 1 } });
    const key = {
      suite: "AES_CM_128_HMAC_SHA1_80",
      key: new Uint8Array(16),
      salt: new Uint8Array(14),
    } as const;
    const source = await engine.media.openRtp({ srtp: { remote: key } });
    await engine.attach(source, { callId: "secret", participantId: "ada", consent: "granted" });

    await (engine.media as ShardPool).replace(0);

    expect((await seen.first("participant.left")).data).toMatchObject({
      reason: "failed",
      error: { code: "unavailable", message: expect.stringContaining("a shard ended") },
    });
    expect((await seen.first("call.failed")).data.callId).toBe("secret");
    // A new shard takes its place, and the port is free for it.
    await expect
      .poll(() => engine.media.shards.map(({ up, restarts }) => [up, restarts]))
      .toEqual([[true, 1]]);
    const again = await engine.media.openRtp({ port: source.address.port });
    expect(again.address.port).toBe(source.address.port);
    await again.close();
    await engine.close();
  });
});

test("datagrams that a port refused are added up over 2 shards", async () => {
  const { engine, seen } = await openEngine({ shards: { count: 1 } });
  const source = await engine.media.openRtp({});
  const participant = await engine.attach(source, {
    callId: "test",
    participantId: "ada",
    consent: "granted",
  });
  const socket = createSocket("udp4");
  const send = (): void => socket.send(Uint8Array.of(0x80), source.address.port, "127.0.0.1");
  const refused = (): number => participant.takeQuality().refused?.["too-short"] ?? 0;
  for (let i = 0; i < 5; i++) send();
  // The count is told every two seconds.
  await expect.poll(refused, { timeout: 10_000 }).toBe(5);

  await (engine.media as ShardPool).replace(0);
  await seen.first("participant.recovered");
  expect(refused()).toBe(5);
  send();
  await expect.poll(refused, { timeout: 10_000 }).toBe(6);

  socket.close();
  await engine.close();
}, 30_000);

test("a port that is taken is refused by its shard as on the main thread, with the system's own word for it", async () => {
  const { engine } = await openEngine({ shards: { count: 1 } });
  const first = await engine.media.openRtp({});

  const second = engine.media.openRtp({ port: first.address.port });

  await expect(second).rejects.toMatchObject({ code: "unavailable", cause: { code: "EADDRINUSE" } });
  await first.close();
  const third = await engine.media.openRtp({ port: first.address.port });
  await third.close();
  await engine.close();
});

test("shards are refused where the caller gives a clock: 1 clear error", async () => {
  const clock = { ...systemClock };
  await expect(createEngine({ shards: { count: 2 }, model: { device: "cpu" } }, { clock })).rejects.toThrow(
    "shards.count must be 0 where the caller gives a clock",
  );
});

test("a source that agrees on 1 payload type after it was attached, and moves with its shard, is heard by it", async () => {
  const { engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" } });
  const packets = new Subject<RtpPacket>();
  const codecs = new Map<number, AudioCodec>();
  const source = { kind: "late", codecs, packets, close: () => Promise.resolve(packets.complete()) };
  await engine.attach(source, { callId: "test", participantId: "ada", consent: "granted" });
  codecs.set(96, OPUS);
  let sequence = 0;
  let timestamp = 0;
  const speak = async (): Promise<void> => {
    for (const { payload, durationTicks } of upTo(await recordedFrames("anna"), 3_000)) {
      const arrivalMs = systemClock.now();
      packets.next({ sequence, timestamp, ssrc: 1, payloadType: 96, marker: false, payload, arrivalMs });
      sequence = (sequence + 1) & 0xffff;
      timestamp += durationTicks;
      // The order comes by another way than packets do.
      if (sequence === 1) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  await speak();
  await seen.first("emotion");
  await (engine.media as ShardPool).replace(0);
  await seen.first("participant.recovered");
  const before = seen.of("emotion").length;
  // What comes until the new analysis has begun is nobody's.
  const heard = async (): Promise<number> => {
    await speak();
    return seen.of("emotion").length;
  };

  await expect.poll(heard, { interval: 500 }).toBeGreaterThan(before);
  await engine.participant("test", "ada").close();
  // Those of both shards are added up.
  expect(seen.of("quality").at(-1)?.data.packets.received).toBeGreaterThan(150);
  await engine.close();
});
