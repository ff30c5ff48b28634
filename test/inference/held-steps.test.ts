import fc from "fast-check";
import { expect, it } from "vitest";
import {
  copySteps,
  holdSteps,
  readSteps,
  roomForSteps,
  stepsFrom,
  wipeSteps,
} from "../../src/inference/held-steps.ts";

const anySteps = fc
  .record({ width: fc.integer({ min: 1, max: 9 }), count: fc.integer({ min: 1, max: 6 }) })
  .chain(({ width, count }) =>
    fc.record({
      width: fc.constant(width),
      count: fc.constant(count),
      at: fc.integer({ min: 0, max: 4 }),
      values: fc.array(fc.float({ noNaN: true, min: -1e4, max: 1e4 }), {
        minLength: width * count,
        maxLength: width * count,
      }),
    }),
  );

it("a step's values come back within 1/65,534 of its largest, for 200 sizes and places", () => {
  fc.assert(
    fc.property(anySteps, ({ width, count, at, values }) => {
      const held = roomForSteps(at + count + 2, width);
      const out = new Float32Array((count + 1) * width).fill(7);

      holdSteps(Float32Array.from(values), count, stepsFrom(held, at), 1);
      readSteps(held, at + 1, count, out, 1);

      expect([...out.subarray(0, width)]).toEqual(new Array(width).fill(7));
      for (let step = 0; step < count; step++) {
        const want = values.slice(step * width, (step + 1) * width);
        const largest = Math.max(...want.map(Math.abs));
        for (const [i, value] of want.entries()) {
          const got = out[(step + 1) * width + i] ?? Number.NaN;
          expect(Math.abs(got - value)).toBeLessThanOrEqual((largest / 65_534) * 1.01 + 1e-38);
        }
      }
    }),
    { numRuns: 200 },
  );
});

it("copied steps read like the first ones, and 0 of wiped ones is left", () => {
  const from = roomForSteps(3, 5);
  const to = roomForSteps(4, 5);
  const values = Float32Array.from({ length: 15 }, (_, i) => i - 7);
  const [want, got] = [new Float32Array(10), new Float32Array(10)];
  holdSteps(values, 3, from, 0);
  readSteps(from, 1, 2, want, 0);

  copySteps(from, 1, 2, to, 2);

  readSteps(to, 2, 2, got, 0);
  expect(got).toEqual(want);
  wipeSteps(to, 2, 2);
  expect([...to.values, ...to.scales].every((x) => x === 0)).toBe(true);
});

it("a step of zeros stays 0", () => {
  const held = roomForSteps(1, 8);
  const out = new Float32Array(8).fill(1);

  holdSteps(new Float32Array(8), 1, held, 0);
  readSteps(held, 0, 1, out, 0);

  expect(out).toEqual(new Float32Array(8));
});
