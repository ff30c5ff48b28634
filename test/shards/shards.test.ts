import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OPUS } from "../../src/core/rtp.ts";
import type { Engine } from "../../src/engine.ts";
import type { ShardPool } from "../../src/shards/shard-pool.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, openEngine, type Recorder, recordedFrames, upTo } from "../engine/support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };

describe.each(["forwarded", "own"] as const)("a participant on one of 2 shards, %s packets", (kind) => {
  let engine: Engine;
  let seen: Recorder;

  beforeAll(async () => {
    ({ engine, seen } = await openEngine({ shards: { count: 2 }, overload: { control: "off" } }));
  });
  afterAll(() => engine.close());

  const attach = async (participantId: string, consent: "granted" | "pending" = "granted") => {
    if (kind === "forwarded") return attachUdp(engine, participantId, { consent });
    const source = await engine.media.openRtp({});
    await engine.attach(source, { callId: "test", participantId, consent });
    return source;
  };

  test("4 s of speech become emotions with the latency of the main thread's clock, and its counters are exact", async () => {
    const source = await attach("ada");
    const frames = upTo(await recordedFrames("anna"), 4_000);
    const sent = await sendImpaired(frames, source.address.port, CLEAN);
    await expect.poll(() => seen.of("emotion", "ada").length, { timeout: 10_000 }).toBeGreaterThan(2);
    await engine.participant("test", "ada").close();

    const latencies = seen.of("emotion", "ada").map(({ data }) => data.latency.totalMs);
    expect(Math.min(...latencies)).toBeGreaterThan(0);
    expect(Math.max(...latencies)).toBeLessThan(3_000);
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
  test("of 4 participants those on it go on elsewhere with their numbers, and those on the other lose not 1 window", async () => {
    const { engine, seen } = await openEngine({ shards: { count: 2 }, overload: { control: "off" } });
    const pool = engine.media as ShardPool;
    const frames = upTo(await recordedFrames("anna"), 9_000);
    const names = ["a", "b", "c", "d"];
    const sources = [];
    for (const [i, participantId] of names.entries()) {
      const source = i < 2 ? await engine.media.openRtp({}) : undefined;
      if (source === undefined) {
        sources.push(await attachUdp(engine, participantId));
        continue;
      }
      await engine.attach(source, { callId: "test", participantId, consent: "granted" });
      sources.push(source);
    }
    expect(pool.shards.map(({ participants }) => participants)).toEqual([2, 2]);
    const sending = Promise.all(sources.map(({ address }) => sendImpaired(frames, address.port, CLEAN)));
    await seen.first("emotion");

    await pool.replace(0);
    await expect.poll(() => seen.of("participant.recovered").length, { timeout: 10_000 }).toBe(2);
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
      expect((emitted ?? 0) + (abstained ?? 0) + (gated ?? 0)).toBeGreaterThanOrEqual(17);
    }
    expect(pool.shards.map(({ restarts }) => restarts)).toEqual([1, 0]);
    await engine.close();
  }, 40_000);
});
