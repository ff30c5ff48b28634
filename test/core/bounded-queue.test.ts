import fc from "fast-check";
import { expect, test } from "vitest";
import { BoundedQueue } from "../../src/core/bounded-queue.ts";

test("a full queue of 2 drops its oldest, says which, and counts it", () => {
  const queue = new BoundedQueue<string>(2, "drop-oldest");
  queue.push("a");
  queue.push("b");

  const evicted = queue.push("c");

  expect(evicted).toBe("a");
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual(["b", "c", undefined]);
  expect(queue.dropped).toBe(1);
});

test("with drop-newest the 3rd of 2 comes straight back", () => {
  const queue = new BoundedQueue<string>(2, "drop-newest");
  queue.push("a");
  queue.push("b");

  expect(queue.push("c")).toBe("c");
  expect(queue.peek()).toBe("a");
});

test("against a plain array, 200 random runs of push and shift agree", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom("drop-oldest" as const, "drop-newest" as const),
      fc.array(fc.option(fc.integer()), { maxLength: 60 }),
      (limit, policy, operations) => {
        const queue = new BoundedQueue<number>(limit, policy);
        const model: number[] = [];
        for (const value of operations) {
          if (value === null) expect(queue.shift()).toBe(model.shift());
          else {
            queue.push(value);
            if (model.length < limit) model.push(value);
            else if (policy === "drop-oldest") {
              model.shift();
              model.push(value);
            }
          }
          expect(queue.length).toBe(model.length);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("a limit of 0 is refused with its range", () => {
  expect(() => new BoundedQueue(0, "drop-oldest")).toThrow("queue limit must be 1–16777216, got 0");
});
