import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WINDOW_PRIORITIES, type WindowPriority } from "../../src/core/window.ts";
import { FairQueue, type Waiting } from "../../src/inference/fair-queue.ts";

interface Entry extends Waiting {
  readonly name: string;
  readonly cameMs: number;
}

let came = 0;

/** `tenant/call`, or `call` alone. */
function entry(
  path: string,
  number: number,
  priority: WindowPriority = "normal",
  dueMs = Number.POSITIVE_INFINITY,
): Entry {
  const [tenant = "", call = path] = path.includes("/") ? path.split("/") : ["", path];
  return { name: `${path}${number}`, tenant, call, priority, dueMs, cameMs: came++ };
}

function fill(queue: FairQueue<Entry>, path: string, count: number, priority?: WindowPriority): void {
  for (let i = 0; i < count; i++) queue.push(entry(path, i, priority));
}

function takeAll(queue: FairQueue<Entry>): string[] {
  const names: string[] = [];
  for (let next = queue.take(); next !== undefined; next = queue.take()) names.push(next.name);
  return names;
}

describe("FairQueue: whose turn it is", () => {
  it("gives 3 calls turns though one of them came with 4 windows first", () => {
    const queue = new FairQueue<Entry>(100);
    fill(queue, "a", 4);
    fill(queue, "b", 1);
    fill(queue, "c", 2);

    expect(takeAll(queue)).toEqual(["a0", "b0", "c0", "a1", "c1", "a2", "a3"]);
  });

  it("gives 2 tenants equal turns, whatever their number of calls", () => {
    const queue = new FairQueue<Entry>(100);
    fill(queue, "big/a", 2);
    fill(queue, "big/b", 2);
    fill(queue, "big/c", 2);
    fill(queue, "small/x", 3);

    expect(takeAll(queue)).toEqual([
      "big/a0",
      "small/x0",
      "big/b0",
      "small/x1",
      "big/c0",
      "small/x2",
      "big/a1",
      "big/b1",
      "big/c1",
    ]);
  });

  it("gives a tenant of weight 3 three windows a turn, from its calls in turn", () => {
    const queue = new FairQueue<Entry>(100, { gold: 3 });
    fill(queue, "free/x", 3);
    fill(queue, "gold/a", 4);
    fill(queue, "gold/b", 2);

    expect(takeAll(queue)).toEqual([
      "free/x0",
      "gold/a0",
      "gold/b0",
      "gold/a1",
      "free/x1",
      "gold/b1",
      "gold/a2",
      "gold/a3",
      "free/x2",
    ]);
  });

  it("goes on with a turn where the last batch left it: 2 batches of 3", () => {
    const queue = new FairQueue<Entry>(100);
    fill(queue, "a", 5);
    fill(queue, "b", 5);

    const first = [queue.take(), queue.take(), queue.take()].map((one) => one?.name);
    fill(queue, "c", 1);
    const second = [queue.take(), queue.take(), queue.take()].map((one) => one?.name);

    expect(first).toEqual(["a0", "b0", "a1"]);
    expect(second).toEqual(["b1", "a2", "c0"]);
  });

  it("takes 2 of high priority before 1 normal and 1 low that came before them", () => {
    const queue = new FairQueue<Entry>(100);
    fill(queue, "l", 1, "low");
    fill(queue, "n", 1);
    fill(queue, "h", 2, "high");

    expect(queue.oldest(({ cameMs }) => cameMs)?.name).toBe("l0");
    expect(takeAll(queue)).toEqual(["h0", "h1", "n0", "l0"]);
  });
});

describe("FairQueue: what goes when it is full", () => {
  it("pushes out the oldest of the call that floods it, not the 1 window of another", () => {
    const queue = new FairQueue<Entry>(4);
    fill(queue, "calm", 1);
    fill(queue, "flood", 3);

    expect(queue.push(entry("flood", 3))?.name).toBe("flood0");
    expect(queue.push(entry("calm", 1))?.name).toBe("flood1");
    expect(takeAll(queue)).toEqual(["calm0", "flood2", "calm1", "flood3"]);
  });

  it("pushes out the oldest of all when 3 calls hold 1 window each and a 4th comes", () => {
    const queue = new FairQueue<Entry>(3);
    for (const call of ["a", "b", "c"]) fill(queue, call, 1);

    expect(queue.push(entry("d", 0))?.name).toBe("a0");
  });

  it("pushes out low priority first, and a low window that comes to 2 normal ones itself", () => {
    const queue = new FairQueue<Entry>(3);
    fill(queue, "l", 1, "low");
    fill(queue, "n", 2);

    expect(queue.push(entry("h", 0, "high"))?.name).toBe("l0");
    expect(queue.push(entry("l", 1, "low"))?.name).toBe("l1");
    expect(takeAll(queue)).toEqual(["h0", "n0", "n1"]);
  });

  it("lets a tenant of weight 2 hold 4 of 6 places", () => {
    const queue = new FairQueue<Entry>(6, { gold: 2 });
    fill(queue, "gold/a", 4);
    fill(queue, "free/x", 2);

    expect(queue.push(entry("free/x", 2))?.name).toBe("free/x0");
    expect(queue.push(entry("gold/a", 4))?.name).toBe("gold/a0");
  });
});

describe("FairQueue: what is late", () => {
  it("takes out 2 that are due at 20 ms, from the middle too, and knows when the next is", () => {
    const queue = new FairQueue<Entry>(10);
    queue.push(entry("a", 0, "normal", 30));
    queue.push(entry("a", 1, "normal", 20));
    queue.push(entry("b", 0, "low", 15));
    expect(queue.nextDueMs).toBe(15);

    expect(queue.takeLate(14)).toEqual([]);
    expect(queue.takeLate(20).map(({ name }) => name)).toEqual(["a1", "b0"]);

    expect(queue.nextDueMs).toBe(30);
    expect(takeAll(queue)).toEqual(["a0"]);
    expect(queue.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("FairQueue: limits", () => {
  it("refuses a weight of 0 and a priority that there is none of", () => {
    expect(() => new FairQueue(1, { free: 0 })).toThrow("weight of tenant free must be 1–1000, got 0");
    const queue = new FairQueue<Entry>(1);
    expect(() => queue.push(entry("a", 0, "urgent" as WindowPriority))).toThrow(
      'priority must be one of high, normal, low, got "urgent"',
    );
    expect(queue.length).toBe(0);
  });

  it("in 300 random histories gives every entry once, in order within its call and level, and never holds more than its limit", () => {
    const steps = fc.array(
      fc.oneof(
        {
          weight: 3,
          arbitrary: fc.record({
            path: fc.constantFrom("a", "b", "t/c", "t/d", "u/e"),
            priority: fc.constantFrom(...WINDOW_PRIORITIES),
            dueMs: fc.constantFrom(5, 50, 1_000),
          }),
        },
        { weight: 2, arbitrary: fc.constant("take" as const) },
        { weight: 1, arbitrary: fc.record({ lateMs: fc.constantFrom(1, 10, 100) }) },
      ),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 9 }), fc.constantFrom(1, 2, 5), (history, limit, t) => {
        const queue = new FairQueue<Entry>(limit, { t });
        const waiting = new Set<Entry>();
        const leave = (one: Entry): void => {
          expect(waiting.delete(one)).toBe(true);
        };
        for (const [i, step] of history.entries()) {
          if (step === "take") {
            const next = queue.take();
            expect(next === undefined).toBe(waiting.size === 0);
            if (next === undefined) continue;
            leave(next);
            for (const other of waiting) {
              expect(WINDOW_PRIORITIES.indexOf(other.priority)).toBeGreaterThanOrEqual(
                WINDOW_PRIORITIES.indexOf(next.priority),
              );
              if (
                other.priority === next.priority &&
                other.call === next.call &&
                other.tenant === next.tenant
              ) {
                expect(other.cameMs).toBeGreaterThan(next.cameMs);
              }
            }
          } else if ("lateMs" in step) {
            const late = queue.takeLate(step.lateMs);
            late.forEach(leave);
            for (const other of waiting) expect(other.dueMs).toBeGreaterThan(step.lateMs);
          } else {
            const one = entry(step.path, i, step.priority, step.dueMs);
            waiting.add(one);
            const evicted = queue.push(one);
            expect(evicted === undefined).toBe(waiting.size <= limit);
            if (evicted !== undefined) leave(evicted);
          }
          expect(queue.length).toBe(waiting.size);
          const first = [...waiting].toSorted((x, y) => x.cameMs - y.cameMs)[0];
          expect(queue.oldest(({ cameMs }) => cameMs)).toBe(first);
        }
      }),
      { numRuns: 300 },
    );
  });
});
