import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WindowMemory } from "../../src/inference/index.ts";

const SHAPE = { channels: 2, frames: 3, labels: 2 };

describe("WindowMemory", () => {
  it("hands out 4 rows in sequence, then none", () => {
    const memory = new WindowMemory(4, SHAPE);
    const rows: (number | undefined)[] = [memory.take(-1)];

    for (let i = 0; i < 4; i++) rows.push(memory.take(rows[i] ?? -1));

    expect(rows).toEqual([0, 1, 2, 3, undefined]);
  });

  it("goes on after row 1 when row 2 is free, and to the lowest free row when it is not", () => {
    const memory = new WindowMemory(4, SHAPE);
    for (const previous of [-1, 0, 1, 2]) memory.take(previous);
    memory.release(0);
    memory.release(2);

    const rows = [memory.take(1), memory.take(2)];

    expect(rows).toEqual([2, 0]);
  });

  it("writes 2 × 3 features and a mask of 2 ones into row 1 only", () => {
    const memory = new WindowMemory(3, SHAPE);
    memory.masks.fill(9);

    memory.write(1, Float32Array.of(1, 2, 0, 3, 4, 0), 2);

    expect([...memory.features]).toEqual([0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0]);
    expect([...memory.masks]).toEqual([9, 9, 9, 1, 1, 0, 9, 9, 9]);
  });

  it("wipes row 1 when it is given back, and leaves its 2 neighbours alone", () => {
    const memory = new WindowMemory(3, SHAPE);
    for (const row of [0, 1, 2]) {
      memory.take(row - 1);
      memory.write(row, new Float32Array(6).fill(row + 1), 3);
    }

    memory.release(1);

    expect([...memory.features]).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3]);
  });

  it("refuses to free 1 row twice", () => {
    const memory = new WindowMemory(2, SHAPE);
    memory.take(-1);
    memory.release(0);

    expect(() => memory.release(0)).toThrow("window row 0 is not held");
  });

  it("says how many MB it cannot have, and what to lower, for 16,777,216 windows", () => {
    expect(() => new WindowMemory(1 << 24, { channels: 4_096, frames: 6_000, labels: 2 })).toThrow(
      /need \d+ MB of shared memory: lower the queue limit/,
    );
  });

  it("never hands out a row that is held, in 200 random histories", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.oneof(fc.constant("take" as const), fc.nat({ max: 11 }))),
        (rows, steps) => {
          const memory = new WindowMemory(rows, SHAPE);
          const held = new Set<number>();
          let last = -1;
          for (const step of steps) {
            if (step === "take") {
              const row = memory.take(last);
              expect(row === undefined).toBe(held.size === rows);
              if (row === undefined) continue;
              expect(held.has(row)).toBe(false);
              held.add(row);
              last = row;
            } else if (held.delete(step)) {
              memory.release(step);
            }
            expect(memory.free).toBe(rows - held.size);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
