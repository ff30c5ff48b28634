import { from, Subject, toArray } from "rxjs";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import type {
  DroppedWindow,
  EmotionEstimate,
  EstimateUnit,
  FeatureWindow,
  WindowBatcher,
  WindowUnit,
} from "../../src/core/window.ts";
import { DynamicBatcher, inferEmotion } from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import {
  estimateAt,
  gatedAt,
  SMALL_MANIFEST,
  SMALL_MODEL,
  settle,
  speechAt,
  windowAt,
  windowInfoAt,
} from "./fixtures.ts";
import { LinearBackend } from "./linear-backend.ts";

/** A batcher whose answers the test gives, in any order. */
class HandBatcher implements WindowBatcher {
  readonly keys: string[] = [];
  readonly answer = new Map<number, (answer: EmotionEstimate | DroppedWindow) => void>();

  submit(key: string, window: FeatureWindow): Promise<EmotionEstimate | DroppedWindow> {
    this.keys.push(key);
    const { promise, resolve } = Promise.withResolvers<EmotionEstimate | DroppedWindow>();
    this.answer.set(window.index, resolve);
    return promise;
  }
}

/** `estimate 3`, `gated 4`, `speech started`, `overload 5`. */
const name = (unit: EstimateUnit): string =>
  unit.kind === "speech"
    ? `speech ${unit.state}`
    : `${unit.kind === "dropped" ? unit.reason : unit.kind} ${unit.index}`;

function run(maxPending?: number) {
  const batcher = new HandBatcher();
  const source = new Subject<WindowUnit>();
  const seen: string[] = [];
  const subscription = source
    .pipe(inferEmotion(batcher, { key: "call/ann", ...(maxPending === undefined ? {} : { maxPending }) }))
    .subscribe({
      next: (unit) => seen.push(name(unit)),
      complete: () => seen.push("complete"),
      error: (error: TonetapError) => seen.push(`error ${error.code}: ${error.message}`),
    });
  const answer = async (index: number): Promise<void> => {
    batcher.answer.get(index)?.(estimateAt(index, [1, 0, 0]));
    await settle();
  };
  return { batcher, source, seen, subscription, answer };
}

describe("inferEmotion()", () => {
  it("passes 2 gated windows and 1 edge at once when no window is pending", () => {
    const { source, seen } = run();

    for (const unit of [gatedAt(0), speechAt(500, "started"), gatedAt(1)]) source.next(unit);

    expect(seen).toEqual(["gated 0", "speech started", "gated 1"]);
  });

  it("holds 3 units behind a pending window and lets all 4 go in order", async () => {
    const { source, seen, answer, batcher } = run();
    for (const unit of [windowAt(0), gatedAt(1), speechAt(900, "ended"), gatedAt(2)]) source.next(unit);
    expect(seen).toEqual([]);

    await answer(0);

    expect(seen).toEqual(["estimate 0", "gated 1", "speech ended", "gated 2"]);
    expect(batcher.keys).toEqual(["call/ann"]);
  });

  it("puts 3 answers that come in the order 2, 1, 0 back in the order 0, 1, 2", async () => {
    const { source, seen, answer } = run();
    for (const unit of [windowAt(0), windowAt(1), gatedAt(9), windowAt(2)]) source.next(unit);

    for (const index of [2, 1, 0]) await answer(index);

    expect(seen).toEqual(["estimate 0", "estimate 1", "gated 9", "estimate 2"]);
  });

  it("completes after the last of 2 pending windows is answered", async () => {
    const { source, seen, answer } = run();
    source.next(windowAt(0));
    source.next(windowAt(1));
    source.complete();

    await answer(0);
    expect(seen).toEqual(["estimate 0"]);
    await answer(1);

    expect(seen).toEqual(["estimate 0", "estimate 1", "complete"]);
  });

  it("gives up the oldest of 4 held units when 3 may be held, and ignores its late answer", async () => {
    const { source, seen, answer } = run(3);
    for (const unit of [windowAt(0), gatedAt(1), windowAt(2), gatedAt(3)]) source.next(unit);

    expect(seen).toEqual(["overload 0", "gated 1"]);
    await answer(0);
    await answer(2);

    expect(seen).toEqual(["overload 0", "gated 1", "estimate 2", "gated 3"]);
  });

  it("emits nothing of 2 pending windows after it is unsubscribed", async () => {
    const { source, seen, subscription, answer } = run();
    source.next(windowAt(0));
    source.next(windowAt(1));

    subscription.unsubscribe();
    await answer(0);

    expect(seen).toEqual([]);
    expect(source.observed).toBe(false);
  });

  it("stops at once when its subscriber leaves after 1 of 3 units", async () => {
    const batcher = new HandBatcher();
    const seen: string[] = [];
    const subscription = from([windowAt(0), gatedAt(1), gatedAt(2)])
      .pipe(inferEmotion(batcher, { key: "k" }))
      .subscribe((unit) => {
        seen.push(name(unit));
        subscription.unsubscribe();
      });

    batcher.answer.get(0)?.(estimateAt(0, [1, 0, 0]));
    await settle();

    expect(seen).toEqual(["estimate 0"]);
  });

  it("passes 1 error of the source on at once", () => {
    const { source, seen } = run();
    source.next(windowAt(0));

    source.error(new TonetapError("protocol", "the transport failed"));

    expect(seen).toEqual(["error protocol: the transport failed"]);
  });

  it("ends 1 participant's chain when its windows do not fit the model", () => {
    const source = new Subject<WindowUnit>();
    const seen: string[] = [];
    const clock = new ManualClock();
    const batcher = new DynamicBatcher({
      manifest: SMALL_MANIFEST,
      backends: [new LinearBackend({ clock })],
      clock,
    });
    source
      .pipe(inferEmotion(batcher, { key: "k" }))
      .subscribe({ error: (error: TonetapError) => seen.push(error.message) });

    source.next({ ...windowAt(0), features: new Float32Array(3) });

    expect(seen).toEqual(["a window must have 13 × 4 features, got 3"]);
  });

  it("brings 40 windows of 2 participants through one batcher, each to its own chain", async () => {
    const clock = new ManualClock();
    const linear = new LinearBackend({ clock, maxBatch: 8 });
    await linear.load(SMALL_MODEL);
    const batcher = new DynamicBatcher({
      manifest: SMALL_MANIFEST,
      backends: [linear],
      clock,
      maxDelayMs: 2,
    });
    const results = ["ann", "bob"].map((key, person) => {
      const units = Array.from({ length: 20 }, (_, i) =>
        i % 4 === 3 ? gatedAt(i) : windowAt(i, (c) => (c === person ? 4 : 0)),
      );
      const seen: EstimateUnit[] = [];
      from(units)
        .pipe(inferEmotion(batcher, { key }), toArray())
        .subscribe((all) => seen.push(...all));
      return seen;
    });

    for (let ms = 0; ms < 5; ms++) {
      await settle();
      clock.advance(1);
    }
    await settle();

    for (const [person, units] of results.entries()) {
      expect(units.map((unit) => (unit.kind === "speech" ? -1 : unit.index))).toEqual([...Array(20).keys()]);
      const tops = units.flatMap((unit) =>
        unit.kind === "estimate" ? [unit.probabilities.indexOf(Math.max(...unit.probabilities))] : [],
      );
      expect(tops).toEqual(new Array(15).fill(person));
    }
    expect(Math.max(...linear.begun)).toBe(8);
    await batcher.close();
  });

  it("keeps the identity of 1 window that it gives up", async () => {
    const source = new Subject<WindowUnit>();
    const seen: EstimateUnit[] = [];
    source
      .pipe(inferEmotion(new HandBatcher(), { key: "k", maxPending: 1 }))
      .subscribe((unit) => seen.push(unit));

    source.next(windowAt(5));
    source.next(windowAt(6));

    expect(seen).toEqual([{ ...windowInfoAt(5), kind: "dropped", reason: "overload" }]);
  });

  it("refuses to hold 0 units", () => {
    expect(() => inferEmotion(new HandBatcher(), { key: "k", maxPending: 0 })).toThrow(
      "maxPending must be 1–10000 units, got 0",
    );
  });
});
