import fc from "fast-check";
import { expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { sampleIndex } from "../../src/core/units.ts";
import { type FeatureWindow, WINDOW_PRIORITIES } from "../../src/core/window.ts";
import { DynamicBatcher } from "../../src/inference/index.ts";
import { softmax } from "../../src/inference/softmax.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ECHO_MANIFEST, EchoBackend, echoLogits } from "./echo-backend.ts";
import { settle, windowInfoAt } from "./fixtures.ts";

const KEYS = ["a", "b", "c"] as const;
type Key = (typeof KEYS)[number];

/** `next`: goes on. `gated`: the same, but the window never comes. `renewed`: on a new scale. `spurt`: another talk-spurt. */
const cuts = fc.constantFrom("next" as const, "next", "next", "gated", "renewed", "spurt", "alone");

type Step =
  | {
      readonly submit: Key;
      readonly cut: "next" | "gated" | "renewed" | "spurt" | "alone";
      readonly level: number;
      /** On its way to the batcher. */
      readonly lost: boolean;
    }
  | { readonly advanceMs: number }
  | { readonly forget: Key }
  | { readonly revive: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        submit: fc.constantFrom(...KEYS),
        cut: cuts,
        level: fc.constantFrom(1, 1, 1, 0, 2),
        lost: fc.nat({ max: 7 }).map((n) => n === 0),
      }),
    },
    { weight: 5, arbitrary: fc.record({ advanceMs: fc.constantFrom(1, 2, 5, 13, 40) }) },
    { weight: 1, arbitrary: fc.record({ forget: fc.constantFrom(...KEYS) }) },
    { weight: 1, arbitrary: fc.record({ revive: fc.nat({ max: 1 }) }) },
  ),
  { maxLength: 90, size: "max" },
);

const setups = fc.record({
  maxBatch: fc.integer({ min: 1, max: 5 }),
  maxDelayMs: fc.constantFrom(0, 1, 4),
  deadlineMs: fc.constantFrom(10, 25, 60),
  queueLimit: fc.integer({ min: 1, max: 12 }),
  streamLimit: fc.integer({ min: 1, max: 4 }),
  batchMs: fc.array(fc.constantFrom(0, 1, 3, 20), { minLength: 1, maxLength: 2 }),
  /** Batch n fails when n % period is 0, after it was computed. */
  failurePeriod: fc.constantFrom(2, 3, 1_000),
  unavailable: fc.boolean(),
  hopFrames: fc.constantFrom(5, 10),
  /** The fresh frames are given alone too. */
  apart: fc.boolean(),
});

/** One participant, as the window stage cuts it. Frames of every key and scale have values of their own. */
class Voice {
  readonly #salt: number;
  #scale = 0;
  #first = 0;
  #end = 10;
  #told = -100;
  /** Where each window of the scale and talk-spurt in force begins. */
  #begins: number[] = [];

  constructor(salt: number) {
    this.#salt = salt;
  }

  frames(first: number, end: number): Float32Array {
    const { length } = { length: end - first };
    return Float32Array.from({ length }, (_, i) =>
      Math.sin((first + i) * 0.7 + 31 * this.#salt + 5 * this.#scale),
    );
  }

  /** @returns the window, and what it may be judged: by a stream that began with itself or one before it */
  cut(cut: "next" | "renewed" | "spurt" | "alone", hop: number, apart: boolean, index: number) {
    this.#end += hop;
    if (cut !== "next") {
      this.#told = -100;
      this.#begins = [];
      this.#scale++;
    }
    if (cut === "spurt") this.#first = this.#end - 10;
    const end = this.#end;
    const first = Math.max(this.#first, end - 20);
    const since = end - this.#told;
    const fresh = since >= end - first ? end - first : since;
    if (fresh === end - first) this.#begins = [];
    this.#begins.push(first);
    this.#told = cut === "alone" ? -100 : end;
    const features = new Float32Array(20);
    features.set(this.frames(first, end));
    const window: FeatureWindow = {
      ...windowInfoAt(index),
      kind: "window",
      features,
      frames: end - first,
      end: sampleIndex(end * 160),
      ...(cut === "alone" ? {} : { fresh }),
      ...(cut !== "alone" && apart ? { freshFeatures: this.frames(end - fresh, end) } : {}),
    };
    const legitimate = this.#begins.map((from) =>
      softmax(Float32Array.from(echoLogits(this.frames(from, end))), 1),
    );
    return { window, legitimate };
  }

  skip(hop: number): void {
    this.#end += hop;
  }
}

it("in 200 random histories of drops, failures, crashes, evictions and forgets, judges every window by exactly the frames of its stream", async () => {
  await fc.assert(
    fc.asyncProperty(setups, steps, async (setup, history) => {
      const clock = new ManualClock();
      const error = new TonetapError(setup.unavailable ? "unavailable" : "internal", "drawn");
      const { maxBatch, maxDelayMs, deadlineMs, queueLimit, streamLimit, hopFrames, apart } = setup;
      let batches = 0;
      const failure = () => (++batches % setup.failurePeriod === 0 ? error : undefined);
      const backends = setup.batchMs.map(
        (batchMs) => new EchoBackend({ clock, maxBatch: 5, batchMs, failure }),
      );
      const limits = { maxBatch, maxDelayMs, deadlineMs, queueLimit, streamLimit };
      const batcher = new DynamicBatcher({ manifest: ECHO_MANIFEST, backends, ...limits, clock });
      const voices = new Map<Key, Voice>(KEYS.map((key, i) => [key, new Voice(i + 1)]));
      const answers: Promise<void>[] = [];
      let submitted = 0;

      for (const step of history) {
        if ("submit" in step) {
          const voice = voices.get(step.submit);
          if (step.cut === "gated") voice?.skip(hopFrames);
          else if (voice !== undefined) {
            const { window, legitimate } = voice.cut(step.cut, hopFrames, apart, submitted++);
            if (step.lost) {
              submitted--;
              continue;
            }
            const priority = WINDOW_PRIORITIES[step.level] ?? "normal";
            answers.push(
              batcher.submit(step.submit, window, { priority }).then((answer) => {
                expect(answer.index).toBe(window.index);
                if (answer.kind === "dropped") return;
                const distances = legitimate.map((want) =>
                  Math.max(...answer.probabilities.map((p, i) => Math.abs(p - (want?.[i] ?? 9)))),
                );
                expect(Math.min(...distances)).toBeLessThan(1e-5);
              }),
            );
          }
        } else if ("advanceMs" in step) {
          for (let ms = 0; ms < step.advanceMs; ms++) {
            clock.advance(1);
            await settle();
          }
        } else if ("forget" in step) batcher.forget(step.forget);
        else backends[step.revive]?.revive();
        await settle();
        expect(batcher.stats.streams?.held).toBeLessThanOrEqual(streamLimit);
      }

      for (const key of KEYS) batcher.forget(key);
      const closing = batcher.close();
      for (let ms = 0; ms < 50; ms++) {
        await settle();
        clock.advance(1);
      }
      await closing;
      await Promise.all(answers);
      expect(answers).toHaveLength(submitted);
      expect(batcher.stats).toMatchObject({ inFlight: 0, queued: 0, streams: { held: 0 } });
      for (const { memory, model } of backends) {
        const { values = [], scales = [] } = memory?.embeddings ?? {};
        const left = [memory?.states ?? [], values, scales, ...model.handed];
        expect(left.every((floats) => floats.every((x) => x === 0))).toBe(true);
      }
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 200 },
  );
});
