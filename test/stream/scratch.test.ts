import { expect, test } from "vitest";
import { withScratch } from "../../src/stream/scratch.ts";

test("2 nested loans of 4 floats are 2 zeroed buffers, used again and wiped after", () => {
  const seen: Float32Array[] = [];
  const nest = (): void =>
    withScratch(4, (outer) => {
      outer.fill(1);
      withScratch(4, (inner) => {
        expect([...inner]).toEqual([0, 0, 0, 0]);
        inner.fill(2);
        seen.push(outer, inner);
      });
      expect([...outer]).toEqual([1, 1, 1, 1]);
    });

  nest();
  nest();

  expect(new Set(seen).size).toBe(2);
  for (const buffer of seen) expect([...buffer]).toEqual([0, 0, 0, 0]);
});

test("a loan whose user throws comes back wiped, 1 buffer in all", () => {
  const seen = new Set<Float32Array>();
  for (let i = 0; i < 3; i++) {
    expect(() =>
      withScratch(7, (buffer) => {
        seen.add(buffer.fill(9));
        throw new RangeError("mid-way");
      }),
    ).toThrow("mid-way");
  }

  expect(seen.size).toBe(1);
  for (const buffer of seen) expect(buffer.every((x) => x === 0)).toBe(true);
});
