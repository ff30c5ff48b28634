import { expect, test } from "vitest";
import { beat, createHeartbeat, HeartbeatWatch } from "../../src/shards/heartbeat.ts";

function setUp(limitMs: number) {
  const memory = createHeartbeat();
  const watch = new HeartbeatWatch(memory, limitMs, 0);
  let nowMs = 0;
  /** A look a second. @returns s until it was silent for too long; undefined: it never was */
  const look = (seconds: number, beatsUntil: number): number | undefined => {
    for (let s = 1; s <= seconds; s++) {
      if (s <= beatsUntil) beat(memory);
      nowMs += 1_000;
      if (watch.isSilent(nowMs)) return s;
    }
    return undefined;
  };
  const sleep = (ms: number): void => {
    nowMs += ms;
  };
  return { look, sleep };
}

test("a thread that beats is never silent, one that stops is after 5 s more", () => {
  const { look } = setUp(5_000);
  expect(look(100, 100)).toBeUndefined();
  expect(look(100, 3)).toBe(9);
});

test("a thread that starts has 30 s for its first beat, more where the limit is longer", () => {
  expect(setUp(5_000).look(100, 0)).toBe(31);
  expect(setUp(60_000).look(100, 0)).toBe(61);
});

test("an hour that the machine slept counts as 2 s", () => {
  const { look, sleep } = setUp(5_000);
  look(10, 10);
  sleep(3_600_000);
  expect(look(100, 0)).toBe(5);
});
