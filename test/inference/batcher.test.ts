import { setImmediate as endOfTurn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { monotonicMs } from "../../src/core/units.ts";
import type { EmotionEstimate } from "../../src/core/window.ts";
import { type BatcherOptions, DynamicBatcher, softmax } from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { SMALL_MANIFEST, SMALL_MODEL, settle, windowAt, windowInfoAt } from "./fixtures.ts";
import { LinearBackend, type LinearBackendOptions } from "./linear-backend.ts";

let clock: ManualClock;
let batcher: DynamicBatcher | undefined;

beforeEach(() => {
  clock = new ManualClock(100);
});

afterEach(async () => {
  await batcher?.close();
  batcher = undefined;
  expect(clock.pending).toBe(0);
});

async function backend(options: Partial<LinearBackendOptions> = {}): Promise<LinearBackend> {
  const made = new LinearBackend({ clock, ...options });
  await made.load(SMALL_MODEL);
  return made;
}

function open(backends: readonly LinearBackend[], options: Partial<BatcherOptions> = {}): DynamicBatcher {
  batcher = new DynamicBatcher({ manifest: SMALL_MANIFEST, backends, clock, ...options });
  return batcher;
}

/** Moves the clock in steps of 1 ms, letting promises settle in between. */
async function pass(ms: number): Promise<void> {
  for (let i = 0; i < ms; i++) {
    await settle();
    clock.advance(1);
  }
  await settle();
}

/** The answers of `promises` that are known by now: their kind, or the reason of their drop. */
async function known(promises: readonly ReturnType<DynamicBatcher["submit"]>[]): Promise<string[]> {
  await settle();
  const open = Symbol("open");
  const answers = await Promise.all(promises.map((promise) => Promise.race([promise, open])));
  return answers.map((answer) =>
    typeof answer === "symbol" ? "waiting" : answer.kind === "dropped" ? answer.reason : answer.kind,
  );
}

describe("DynamicBatcher: when a batch goes out", () => {
  it("sends at once when 4 of 4 windows are there", async () => {
    const linear = await backend();
    const { submit } = bound(open([linear], { maxDelayMs: 10 }));

    const answers = [0, 1, 2, 3].map((i) => submit("a", windowAt(i)));

    expect(linear.begun).toEqual([]);
    expect(await known(answers)).toEqual(new Array(4).fill("estimate"));
    expect(linear.begun).toEqual([4]);
  });

  it("sends 2 windows when the oldest has waited 10 ms, not when the newest has", async () => {
    const linear = await backend();
    const { submit } = bound(open([linear], { maxDelayMs: 10 }));
    const answers = [submit("a", windowAt(0))];
    await pass(9);
    answers.push(submit("b", windowAt(0)));

    expect(await known(answers)).toEqual(["waiting", "waiting"]);
    await pass(1);

    expect(await known(answers)).toEqual(["estimate", "estimate"]);
    expect(linear.begun).toEqual([2]);
  });

  it("has 1 window wait 20 ms on a busy machine, and sends it at once when the load falls after 12", async () => {
    const linear = await backend();
    const shared = open([linear], { maxDelayMs: 5, busyDelayMs: 20 });
    shared.followLoad(0.9);
    const first = shared.submit("a", windowAt(0));
    await pass(19);
    expect(await known([first])).toEqual(["waiting"]);
    await pass(1);
    expect(await known([first])).toEqual(["estimate"]);

    const second = shared.submit("a", windowAt(1));
    await pass(12);
    expect(await known([second])).toEqual(["waiting"]);
    shared.followLoad(0.2);

    expect(await known([second])).toEqual(["estimate"]);
    expect(shared.stats.delayMs).toBe(5);
  });

  it("counts the wait of 3 windows from when another thread made them, and sends those that come at once together", async () => {
    const linear = await backend();
    const shared = open([linear], { maxDelayMs: 10 });
    const made = (at: number, readyMs: number) => ({ ...windowAt(at), readyMs: monotonicMs(readyMs) });
    clock.advance(20);
    const answers = [shared.submit("a", made(0, 108)), shared.submit("b", made(0, 112))];
    await endOfTurn();
    expect(await known(answers)).toEqual(["estimate", "estimate"]);

    answers.push(shared.submit("c", made(0, 114)));
    await endOfTurn();
    await pass(3);
    expect(await known(answers.slice(2))).toEqual(["waiting"]);
    await pass(1);

    expect((await answers[2])?.kind).toBe("estimate");
    expect(linear.begun).toEqual([2, 1]);
  });

  it("sends 2 windows when the one that was made first has waited 10 ms, though it came last", async () => {
    const linear = await backend();
    const shared = open([linear], { maxDelayMs: 10 });
    const made = (readyMs: number) => ({ ...windowAt(0), readyMs: monotonicMs(readyMs) });
    clock.advance(9);
    const answers = [shared.submit("a", made(107)), shared.submit("b", made(102))];
    await endOfTurn();
    await pass(2);
    expect(await known(answers)).toEqual(["waiting", "waiting"]);
    await pass(1);

    expect(await known(answers)).toEqual(["estimate", "estimate"]);
    expect(linear.begun).toEqual([2]);
  });

  it("has a busy machine drop none of 2 windows of which the later has 12 ms", async () => {
    const linear = await backend();
    const shared = open([linear], { maxDelayMs: 5, busyDelayMs: 50 });
    shared.followLoad(1);
    const answers = [shared.submit("a", windowAt(0))];
    await pass(3);
    answers.push(shared.submit("b", windowAt(0), { deadlineMs: 12 }));
    await pass(6);
    expect(await known(answers)).toEqual(["waiting", "waiting"]);
    await pass(1);

    expect(await known(answers)).toEqual(["estimate", "estimate"]);
    expect(linear.begun).toEqual([2]);
  });

  it("sends 1 window at once when the delay is 0 and the backend idle, and the 3 that came meanwhile together", async () => {
    const linear = await backend({ batchMs: () => 7 });
    const { submit } = bound(open([linear], { maxDelayMs: 0 }));

    const answers = [0, 1, 2, 3].map((i) => submit("a", windowAt(i)));
    await pass(14);

    expect(linear.begun).toEqual([1, 3]);
    expect(await known(answers)).toEqual(new Array(4).fill("estimate"));
  });

  it("sends 1 window 5 ms after it came though the timer stood at its deadline while the backend was busy", async () => {
    const linear = await backend({ batchMs: () => 10 });
    const { submit } = bound(open([linear], { maxDelayMs: 5 }));
    submit("a", windowAt(0));
    await pass(13);

    submit("a", windowAt(1));
    await pass(4);
    expect(linear.begun).toEqual([1]);
    await pass(1);

    expect(linear.begun).toEqual([1, 1]);
    await pass(10);
  });

  it("uses 2 backends side by side, the idle one first", async () => {
    const pair = [await backend({ batchMs: () => 20 }), await backend({ batchMs: () => 20 })];
    const { submit } = bound(open(pair, { maxDelayMs: 0 }));

    submit("a", windowAt(0));
    submit("b", windowAt(0));
    await settle();

    expect(pair.map((one) => one.begun)).toEqual([[1], [1]]);
    await pass(20);
  });

  it("hands a busy backend 1 full batch ahead, never a partial one and never 2", async () => {
    const linear = await backend({ batchMs: () => 10 });
    const shared = open([linear], { maxDelayMs: 0, maxBatch: 2 });
    const { submit } = bound(shared);
    submit("a", windowAt(0));

    submit("a", windowAt(1));
    const partial = shared.stats;
    submit("a", windowAt(2));
    const full = shared.stats;
    for (const i of [3, 4, 5]) submit("a", windowAt(i));
    const more = shared.stats;

    expect([partial.inFlight, partial.queued]).toEqual([1, 1]);
    expect([full.inFlight, full.queued]).toEqual([3, 0]);
    expect([more.inFlight, more.queued]).toEqual([3, 3]);
    await pass(40);
    expect(linear.begun).toEqual([1, 2, 2, 1]);
  });
});

describe("DynamicBatcher: sizes and turns", () => {
  it("sends 2 of 3 waiting windows at once when batches of 2 are preferred, the third after 10 ms", async () => {
    const linear = await backend({ batchMs: () => 2 });
    const { submit } = bound(open([linear], { maxDelayMs: 10, preferredBatches: [2] }));

    const answers = [0, 1, 2].map((i) => submit("a", windowAt(i)));
    await pass(9);
    expect(linear.begun).toEqual([2]);
    await pass(3);

    expect(linear.begun).toEqual([2, 1]);
    expect(await known(answers)).toEqual(new Array(3).fill("estimate"));
  });

  it("takes the largest of the preferred 2 and 4 that 5 windows fill when a backend comes free", async () => {
    const linear = await backend({ maxBatch: 8, batchMs: () => 4 });
    const { submit } = bound(open([linear], { maxDelayMs: 20, preferredBatches: [4, 2] }));
    for (const i of [0, 1]) void submit("a", windowAt(i));
    for (const i of [2, 3, 4, 5, 6]) void submit("a", windowAt(i));

    await pass(4);

    expect(linear.begun).toEqual([2, 4]);
    await pass(20);
  });

  it("puts 1 window of a second call into a batch of 4 for which the first call has 6 waiting", async () => {
    const linear = await backend({ batchMs: () => 10 });
    const { submit } = bound(open([linear], { maxDelayMs: 0 }));
    void submit("warm", windowAt(0));
    const flood = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => submit("a/x", windowAt(i), { call: "a" }));
    const other = submit("b/y", windowAt(0), { call: "b" });

    // 4 of the flood were handed on as a full batch before the other call spoke.
    await pass(30);

    expect(await known([other])).toEqual(["estimate"]);
    expect((await known(flood)).filter((answer) => answer === "estimate")).toHaveLength(7);
    await pass(20);
  });

  it("sends a high window before 4 normal ones that wait behind a busy backend", async () => {
    const linear = await backend({ batchMs: () => 10, maxBatch: 1 });
    const { submit } = bound(open([linear], { maxDelayMs: 0 }));
    const order: string[] = [];
    const ask = (key: string, priority: "high" | "normal"): void =>
      void submit(key, windowAt(0), { priority }).then(() => order.push(key));

    for (const key of ["n0", "n1", "n2", "n3"]) ask(key, "normal");
    ask("h", "high");
    await pass(50);

    // Two were in the backend already: one running, a full one ready to follow.
    expect(order).toEqual(["n0", "n1", "h", "n2", "n3"]);
  });

  it("drops a window at its own deadline of 20 ms, and lets one of the batcher's 1,000 ms wait on", async () => {
    const linear = await backend({ batchMs: () => 60 });
    const { submit } = bound(open([linear], { maxDelayMs: 0 }));
    void submit("a", windowAt(0));
    const answers = [submit("b", windowAt(0)), submit("c", windowAt(0), { deadlineMs: 20 })];

    await pass(20);
    expect(await known(answers)).toEqual(["waiting", "deadline"]);
    await pass(100);

    expect(await known(answers)).toEqual(["estimate", "deadline"]);
    expect(() => submit("d", windowAt(0), { deadlineMs: 0 })).toThrow(
      "deadlineMs of a window must be 1–60000 ms, got 0",
    );
  });

  it("drains: 3 windows that wait for batch-mates are judged at once, and it goes on after that", async () => {
    const linear = await backend({ batchMs: () => 5 });
    const shared = open([linear], { maxDelayMs: 50 });
    const answers = [0, 1, 2].map((i) => shared.submit("a", windowAt(i)));

    const drained = shared.drain();
    await pass(5);
    await drained;
    answers.push(shared.submit("a", windowAt(3)));

    expect(await known(answers)).toEqual(["estimate", "estimate", "estimate", "waiting"]);
    await pass(55);
    expect(linear.begun).toEqual([3, 1]);
  });
});

describe("DynamicBatcher: what an estimate says", () => {
  it("gives each of 3 windows its own softmax(mean feature / temperature 2)", async () => {
    const { submit } = bound(open([await backend()], { maxDelayMs: 1 }));
    const logits = [
      [1, 2, 3],
      [0, 0, 0],
      [5, -5, 0],
    ];

    const answers = logits.map((row, i) =>
      submit(
        `key ${i}`,
        windowAt(i, (c) => row[c] ?? 99),
      ),
    );
    await pass(1);

    for (const [i, row] of logits.entries()) {
      const exp = row.map((logit) => Math.exp(logit / 2));
      const sum = exp.reduce((a, b) => a + b);
      const { probabilities } = (await answers[i]) as EmotionEstimate;
      expect([...probabilities]).toEqual(exp.map((value) => expect.closeTo(value / sum, 6)));
    }
  });

  it("counts only the 2 valid frames of 4", async () => {
    const { submit } = bound(open([await backend()], { maxDelayMs: 0 }));
    const window = windowAt(0, (c) => c, SMALL_MANIFEST, 2);

    const answer = (await submit("a", window)) as EmotionEstimate;

    expect([...answer.probabilities]).toEqual([...(softmax(Float32Array.of(0, 1, 2), 2) ?? [])]);
    expect(answer.frames).toBe(2);
  });

  it("carries the window's identity, the model, batch size 2, 6 ms of waiting and 9 ms of inference", async () => {
    const { submit } = bound(open([await backend({ batchMs: () => 9 })], { maxDelayMs: 6 }));

    const first = submit("a", windowAt(41));
    submit("b", windowAt(7));
    await pass(15);
    const { probabilities, ...rest } = (await first) as EmotionEstimate;

    expect(rest).toEqual({
      ...windowInfoAt(41),
      kind: "estimate",
      frames: 4,
      model: "small@1.0.0",
      batchSize: 2,
      queuedMs: 6,
      inferenceMs: 9,
    });
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
  });

  it("has copied the features when submit() returns: 1 buffer serves 2 windows", async () => {
    const { submit } = bound(open([await backend()], { maxDelayMs: 5 }));
    const window = windowAt(0, (c) => (c === 0 ? 4 : 0));

    const first = submit("a", window);
    window.features.fill(0);
    const second = submit("b", window);
    await pass(5);

    expect(((await first) as EmotionEstimate).probabilities[0]).toBeCloseTo(0.787, 3);
    expect(((await second) as EmotionEstimate).probabilities[0]).toBeCloseTo(1 / 3, 6);
  });
});

describe("DynamicBatcher: what is dropped", () => {
  it("gives up the oldest of 4 windows when 3 may wait", async () => {
    const linear = await backend({ maxBatch: 8 });
    const shared = open([linear], { maxDelayMs: 50, queueLimit: 3 });
    const answers = [0, 1, 2, 3].map((i) => shared.submit("a", windowAt(i)));

    expect(await known(answers)).toEqual(["overload", "waiting", "waiting", "waiting"]);
    await pass(50);

    expect(await known(answers)).toEqual(["overload", "estimate", "estimate", "estimate"]);
    expect(shared.stats.dropped.overload).toBe(1);
  });

  it("drops a window after 20 ms behind a busy backend, and never sends it", async () => {
    const linear = await backend({ batchMs: () => 100 });
    const shared = open([linear], { maxDelayMs: 0, deadlineMs: 20 });
    const answers = [shared.submit("a", windowAt(0)), shared.submit("b", windowAt(0))];

    await pass(19);
    expect(await known(answers)).toEqual(["waiting", "waiting"]);
    await pass(1);
    expect(await known(answers)).toEqual(["waiting", "deadline"]);
    await pass(80);

    expect(await known(answers)).toEqual(["estimate", "deadline"]);
    expect(linear.begun).toEqual([1]);
  });

  it("drops only the 1 window whose result is not finite", async () => {
    const shared = open([await backend()], { maxDelayMs: 1 });

    const answers = [Number.NaN, 0, Number.POSITIVE_INFINITY].map((value, i) =>
      shared.submit(
        `key ${i}`,
        windowAt(0, () => value),
      ),
    );
    await pass(1);

    expect(await known(answers)).toEqual(["backend", "estimate", "backend"]);
    expect(shared.stats.lastError).toBe("the model gave a result that is not finite");
  });

  it("drops the 2 windows of a failed batch and goes on with the next", async () => {
    const failing = await backend({
      failure: (batch) => (batch === 0 ? new TonetapError("internal", "odd batch") : undefined),
    });
    const shared = open([failing], { maxDelayMs: 1 });

    const answers = [shared.submit("a", windowAt(0)), shared.submit("b", windowAt(0))];
    await pass(1);
    answers.push(shared.submit("a", windowAt(1)));
    await pass(1);

    expect(await known(answers)).toEqual(["backend", "backend", "estimate"]);
    expect(shared.stats.lastError).toBe("odd batch");
  });
});

describe("DynamicBatcher: backends that go down", () => {
  const down = new TonetapError("unavailable", "the thread died");

  it("works on with 1 of 2 backends, and takes the other back when it is ready", async () => {
    const sick = await backend({ failure: (batch) => (batch === 0 ? down : undefined) });
    const sound = await backend();
    const shared = open([sick, sound], { maxDelayMs: 0 });

    const answers = [shared.submit("a", windowAt(0))];
    await settle();
    expect(shared.stats.backendsUp).toBe(1);
    answers.push(shared.submit("a", windowAt(1)));
    await settle();
    sick.revive();
    await settle();
    answers.push(shared.submit("a", windowAt(2)));

    expect(await known(answers)).toEqual(["backend", "estimate", "estimate"]);
    expect([sick.begun, sound.begun]).toEqual([[1], [1]]);
    expect(shared.stats.backendsUp).toBe(2);
  });

  it("lets windows wait for the only backend, 300 ms of a deadline of 1,000", async () => {
    const sick = await backend({ failure: (batch) => (batch === 0 ? down : undefined) });
    const shared = open([sick], { maxDelayMs: 0 });
    shared.submit("a", windowAt(0));
    await settle();

    const answer = shared.submit("a", windowAt(1));
    await pass(300);
    sick.revive();

    expect(await known([answer])).toEqual(["estimate"]);
    expect(((await answer) as EmotionEstimate).queuedMs).toBe(300);
  });

  it("answers 2 windows at once, one waiting and one new, when no backend will ever be back", async () => {
    const sick = await backend({ failure: () => down });
    const shared = open([sick], { maxDelayMs: 0 });
    shared.submit("a", windowAt(0));
    await settle();
    const waiting = shared.submit("a", windowAt(1));

    sick.revive(new TonetapError("unavailable", "gave up", { retryable: false }));
    await settle();

    expect(await known([waiting, shared.submit("a", windowAt(2))])).toEqual(["backend", "backend"]);
    expect(shared.stats.dropped.backend).toBe(3);
  });
});

describe("DynamicBatcher: order, closing, counts", () => {
  it("answers 2 windows of a key in order though the second was done first", async () => {
    const slow = await backend({ batchMs: () => 30 });
    const quick = await backend({ batchMs: () => 5 });
    const shared = open([slow, quick], { maxDelayMs: 0 });
    const order: string[] = [];

    for (const [key, index] of [
      ["a", 0],
      ["a", 1],
      ["b", 0],
    ] as const) {
      void shared.submit(key, windowAt(index)).then(() => order.push(`${key}${index}`));
    }
    await pass(30);

    expect(order).toEqual(["b0", "a0", "a1"]);
  });

  it("answers 1 window in the model and drops 1 that waits when it is closed, then refuses 1", async () => {
    const linear = await backend({ batchMs: () => 10 });
    const shared = open([linear], { maxDelayMs: 0 });
    const answers = [shared.submit("a", windowAt(0)), shared.submit("b", windowAt(0))];

    const closing = shared.close();
    expect(shared.close()).toBe(closing);
    answers.push(shared.submit("c", windowAt(0)));
    expect(await known(answers)).toEqual(["waiting", "closed", "closed"]);
    await pass(10);
    await closing;

    expect(await known(answers)).toEqual(["estimate", "closed", "closed"]);
    expect(shared.stats.dropped.closed).toBe(2);
  });

  it("closes while its backend is down: 0 windows stay unanswered", async () => {
    const sick = await backend({ failure: () => new TonetapError("unavailable", "gone") });
    const shared = open([sick], { maxDelayMs: 0 });
    shared.submit("a", windowAt(0));
    await settle();
    const waiting = shared.submit("a", windowAt(1));

    await shared.close();

    expect(await known([waiting])).toEqual(["closed"]);
  });

  it("counts 7 windows in 3 batches, their sizes and their times", async () => {
    const linear = await backend({ batchMs: (windows) => 2 * windows });
    const shared = open([linear], { maxDelayMs: 2, maxBatch: 3 });
    for (let i = 0; i < 7; i++) void shared.submit("a", windowAt(i));
    await pass(20);

    const { stats } = shared;

    expect(stats).toMatchObject({ submitted: 7, estimated: 7, batches: 3, queued: 0, inFlight: 0 });
    expect(stats.batchSizes).toEqual([0, 1, 0, 2]);
    expect(stats.inference.p99Ms).toBe(6);
    expect(stats.wait.p50Ms).toBeGreaterThan(0);
  });

  it("throws for a window of 12 features where the model wants 13 × 4", async () => {
    const shared = open([await backend()]);

    expect(() => shared.submit("a", { ...windowAt(0), features: new Float32Array(12) })).toThrow(
      "a window must have 13 × 4 features, got 12",
    );
    expect(() => shared.submit("a", { ...windowAt(0), frames: 5 })).toThrow(
      "frames of a window must be 1–4, got 5",
    );
  });

  it.each([
    [{ maxBatch: 5 }, "maxBatch must be 1–4 windows, got 5"],
    [{ maxDelayMs: 51 }, "maxDelayMs must be 0–50 ms, got 51"],
    [{ busyDelayMs: 51 }, "busyDelayMs must be 0–50 ms, got 51"],
    [{ deadlineMs: 9 }, "deadlineMs must be 10–60000 ms, got 9"],
    [{ deadlineMs: 10, maxDelayMs: 10 }, "maxDelayMs must be below deadlineMs, 10 ms, got 10"],
    [{ preferredBatches: [5] }, "preferredBatches must be 1–4 windows, got 5"],
    [{ tenantWeights: { a: 1_001 } }, "weight of tenant a must be 1–1000, got 1001"],
    [{ queueLimit: 0 }, "queueLimit must be 1–1000000 windows, got 0"],
    [{ backends: [] }, "backends must be 1–1024, got 0"],
  ])("refuses 1 option out of range: %j", async (options, message) => {
    const linear = await backend();

    expect(() => open([linear], options)).toThrow(message);
  });
});

describe("softmax()", () => {
  it("stays finite for logits of ±3e38 and sums to 1", () => {
    expect([...(softmax(Float32Array.of(3e38, -3e38, 3e38), 1) ?? [])]).toEqual([0.5, 0, 0.5]);
  });

  it("flattens with the temperature: 2 logits 2 apart at temperature 2 are 1 apart", () => {
    const [low = 0, high = 0] = softmax(Float32Array.of(0, 2), 2) ?? [];

    expect(high / low).toBeCloseTo(Math.E, 5);
  });
});

/** `submit` alone, to read well in the tests. */
function bound(of: DynamicBatcher): { submit: DynamicBatcher["submit"] } {
  return { submit: (key, window, owner) => of.submit(key, window, owner) };
}
