import { expect, it } from "vitest";
import { growth } from "../../bench/live/shards-bench.ts";

it("growth is what a participant costs more than at a smaller load: 1.5 from 80 to 120, 1 where cost falls", () => {
  expect(growth([100, 80, 120, 110])).toBe(1.5);
  expect(growth([6_000, 2_800, 1_400])).toBe(1);
  expect(growth([500])).toBe(1);
});
