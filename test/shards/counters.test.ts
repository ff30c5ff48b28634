import fc from "fast-check";
import { expect, test } from "vitest";
import { monotonicMs } from "../../src/core/units.ts";
import { CounterReader, writeCounters } from "../../src/shards/counters.ts";
import { createDecodeStats } from "../../src/stream/index.ts";
import { createJitterStats } from "../../src/transport/index.ts";

function counted(numbers: readonly number[]) {
  let at = 0;
  const next = (): number => numbers[at++ % numbers.length] ?? 0;
  const jitterStats = createJitterStats();
  const decodeStats = createDecodeStats();
  for (const stats of [jitterStats, jitterStats.ignored, decodeStats, decodeStats.samples]) {
    const fields = stats as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(fields)) if (typeof value === "number") fields[name] = next();
  }
  return { jitterStats, decodeStats };
}

test("what a shard counts is read as it is, in 100 random states, through the one object that was given out", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 24, maxLength: 24 }), (numbers) => {
      const reader = new CounterReader();
      const memory = reader.moveOn();
      const { jitterStats, decodeStats } = reader;
      const counting = counted(numbers);
      writeCounters(memory, { ...counting, lastPayloadType: 111, firstArrivalMs: monotonicMs(7.5) });

      expect(jitterStats).toEqual(counting.jitterStats);
      expect(decodeStats).toEqual(counting.decodeStats);
      expect([reader.payloadType, reader.firstArrivalMs]).toEqual([111, 7.5]);
    }),
    { numRuns: 100 },
  );
});

test("counters of 2 shards are added up, jitter and wait are the second's, and what the first still writes is not read", () => {
  const reader = new CounterReader();
  const first = reader.moveOn();
  const { jitterStats } = reader;
  const [a, b] = [counted([3]), counted([5])];
  writeCounters(first, { ...a, lastPayloadType: 0, firstArrivalMs: monotonicMs(2) });

  const second = reader.moveOn();
  expect([jitterStats.received, jitterStats.jitterMs, reader.payloadType, reader.firstArrivalMs]).toEqual([
    3, 0, 0, 2,
  ]);
  writeCounters(second, { ...b, lastPayloadType: 111, firstArrivalMs: monotonicMs(2) });
  writeCounters(first, { ...counted([1_000]), lastPayloadType: 8, firstArrivalMs: undefined });

  expect(jitterStats.received).toBe(8);
  expect(jitterStats.ignored.stray).toBe(8);
  expect(reader.decodeStats.samples.dtx).toBe(8);
  expect([jitterStats.jitterMs, jitterStats.waitMs, reader.payloadType]).toEqual([5, 5, 111]);
});

test("of a participant that no packet has come of, 0 is counted and nothing else is known", () => {
  const reader = new CounterReader();
  expect([reader.jitterStats, reader.decodeStats]).toEqual([createJitterStats(), createDecodeStats()]);
  expect([reader.payloadType, reader.firstArrivalMs]).toEqual([-1, undefined]);
});
