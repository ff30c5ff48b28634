import { setImmediate as endOfTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRestMemory, Pacer, RestReader } from "../../src/shards/pacer.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp(restMs: number) {
  const clock = new ManualClock();
  const rested = createRestMemory();
  const reader = new RestReader(rested);
  const said: string[] = [];
  const pacer = new Pacer({
    clock,
    restMs,
    rested,
    rest: (ms) => {
      said.push(`rests ${ms}`);
      clock.advance(ms);
    },
    beforeRest: () => said.push("says"),
  });
  return { clock, rested, reader, said, pacer };
}

test("after a turn with 3 packets a thread says what there is and rests once, for 2 ms; after one without, it does not", async () => {
  const { pacer, said, reader } = setUp(2);

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

test("after a turn of more than 4 ms it goes on at once", async () => {
  const { pacer, said, clock, reader } = setUp(2);

  pacer.note();
  clock.advance(5);
  await endOfTurn();

  expect([said, reader.takeMs()]).toEqual([["says"], 0]);
});

test("told to rest 0 ms it never does", async () => {
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
