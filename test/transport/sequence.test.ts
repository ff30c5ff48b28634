/** Unwrapping: steps of less than half the range are followed exactly, forwards and backwards. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { extendSequence, extendTimestamp } from "../../src/transport/sequence.ts";

test("0 after 65,535 is 65,536, and 65,535 after 0 is −1", () => {
  expect(extendSequence(0, 65_535)).toBe(65_536);
  expect(extendSequence(65_535, 0)).toBe(-1);
  expect(extendTimestamp(0, 0xffff_ffff)).toBe(2 ** 32);
  expect(extendTimestamp(0xffff_ffff, 0)).toBe(-1);
});

test("1,000 steps of under 2¹⁵ are followed from any start up to 2⁵²", () => {
  const start = fc.integer({ min: 0, max: 2 ** 52 });
  const steps = fc.array(fc.integer({ min: -32_767, max: 32_767 }), { maxLength: 1000 });
  fc.assert(
    fc.property(start, steps, (first, moves) => {
      let truth = first;
      let extended = first;
      for (const move of moves) {
        truth += move;
        extended = extendSequence(((truth % 65_536) + 65_536) % 65_536, extended);
        expect(extended).toBe(truth);
      }
    }),
    { numRuns: 50 },
  );
});

test("100 steps of under 2³¹ ticks are followed from any start up to 2⁵²", () => {
  const wrap = 2 ** 32;
  const start = fc.integer({ min: 0, max: 2 ** 52 });
  const steps = fc.array(fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), { maxLength: 100 });
  fc.assert(
    fc.property(start, steps, (first, moves) => {
      let truth = first;
      let extended = first;
      for (const move of moves) {
        truth += move;
        extended = extendTimestamp(((truth % wrap) + wrap) % wrap, extended);
        expect(extended).toBe(truth);
      }
    }),
  );
});
