import { setImmediate as endOfTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRestMemory, Pacer, RestReader } from "../../src/shards/pacer.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** @param delayMs for which windows wait @param dueMs when something is due that is to be said */
function setUp(delayMs: number, dueMs = Number.POSITIVE_INFINITY) {
  const clock = new ManualClock();
  const rested = createRestMemory();
  const reader = new RestReader(rested);
  const said: string[] = [];
  const pacer = new Pacer({
    clock,
    delayMs: () => delayMs,
    rested,
    rest: (ms) => {
      said.push(`rests ${ms}`);
      clock.advance(ms);
    },
    speak: (nowMs) => {
      said.push("says");
      return nowMs < dueMs ? dueMs : Number.POSITIVE_INFINITY;
    },
  });
  return { clock, rested, reader, said, pacer };
}

test("after a turn with 3 packets a thread says what there is and rests once, for 2 ms; after one without, it does not", async () => {
  const { pacer, said, reader } = setUp(5);

  for (let i = 0; i < 3; i++) pacer.note();
  expect(said).toEqual([]);
  await endOfTurn();
  await endOfTurn();
  expect(said).toEqual(["says", "rests 2"]);
  pacer.note();
  await endOfTurn();

  expect(said.length).toBe(4);
  expect(reader.takeMs()).toBeCloseTo(4, 6);
  expect(reader.takeMs()).toBe(0);
});

test.each([
  [1, 0.5],
  [4, 2],
  [10, 2],
  [15, 3],
  [20, 4],
  [50, 4],
])("while windows wait %d ms it rests %d", async (delayMs, restMs) => {
  const { pacer, said } = setUp(delayMs);

  pacer.note();
  await endOfTurn();

  expect(said).toEqual(["says", `rests ${restMs}`]);
});

test("it rests 1 ms of 4 when something is due then, and says it at once", async () => {
  const { pacer, said, reader } = setUp(20, 1);

  pacer.note();
  await endOfTurn();

  expect([said, reader.takeMs()]).toEqual([["says", "rests 1", "says"], 1]);
});

test("after a turn of more than 4 ms it goes on at once", async () => {
  const { pacer, said, clock, reader } = setUp(5);

  pacer.note();
  clock.advance(5);
  await endOfTurn();

  expect([said, reader.takeMs()]).toEqual([["says"], 0]);
});

test("while windows wait 0 ms it never rests", async () => {
  const { pacer, said } = setUp(0);

  pacer.note();
  await endOfTurn();

  expect(said).toEqual([]);
});

test("what is rested is told right where 32 bits of µs wrap", () => {
  const { rested, reader } = setUp(2);
  Atomics.store(rested, 0, 0x7fff_ffff);
  reader.takeMs();
  Atomics.add(rested, 0, 3_000);

  expect(reader.takeMs()).toBeCloseTo(3, 6);
});
