import fc from "fast-check";
import { expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { DynamicBatcher } from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { SMALL_MANIFEST, SMALL_MODEL, settle, windowAt } from "./fixtures.ts";
import { LinearBackend } from "./linear-backend.ts";

type Step =
  | { readonly submit: "a" | "b" | "c" }
  | { readonly advanceMs: number }
  | { readonly revive: number }
  | { readonly load: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ submit: fc.constantFrom("a" as const, "b" as const, "c" as const) }),
    },
    { weight: 3, arbitrary: fc.record({ advanceMs: fc.constantFrom(1, 2, 5, 13, 40) }) },
    { weight: 1, arbitrary: fc.record({ revive: fc.nat({ max: 2 }) }) },
    { weight: 1, arbitrary: fc.record({ load: fc.constantFrom(0, 0.4, 1) }) },
  ),
  { maxLength: 80, size: "max" },
);

const setups = fc.record({
  maxBatch: fc.integer({ min: 1, max: 5 }),
  maxDelayMs: fc.constantFrom(0, 1, 4, 9),
  busyDelayMs: fc.constantFrom(0, 7, 30),
  deadlineMs: fc.constantFrom(10, 25, 60),
  queueLimit: fc.integer({ min: 1, max: 12 }),
  batchMs: fc.array(fc.constantFrom(0, 1, 3, 20), { minLength: 1, maxLength: 3 }),
  /** Batch n fails when n % period is 0. */
  failurePeriod: fc.constantFrom(2, 3, 1_000),
  unavailable: fc.boolean(),
  /** All keys are one call's: then windows leave in order of arrival. Else calls take turns. */
  oneCall: fc.boolean(),
});

/** Feature 0 is the window's number, so an answer shows whose features it was computed from. */
const features = (number: number) => (channel: number) => (channel === 0 ? number / 100 : 0);

it("in 150 random histories answers every window once, in order of its key, from its own features, in batches within the limit and in time", async () => {
  await fc.assert(
    fc.asyncProperty(setups, steps, async (setup, history) => {
      const clock = new ManualClock();
      const error = new TonetapError(setup.unavailable ? "unavailable" : "internal", "drawn");
      const backends = setup.batchMs.map(
        (ms) =>
          new LinearBackend({
            clock,
            maxBatch: 5,
            batchMs: () => ms,
            failure: (batch) => ((batch + 1) % setup.failurePeriod === 0 ? error : undefined),
          }),
      );
      for (const backend of backends) await backend.load(SMALL_MODEL);
      const { maxBatch, maxDelayMs, busyDelayMs, deadlineMs, queueLimit } = setup;
      const batcher = new DynamicBatcher({
        manifest: SMALL_MANIFEST,
        backends,
        maxBatch,
        maxDelayMs,
        busyDelayMs,
        deadlineMs,
        queueLimit,
        clock,
      });
      const submittedMs: number[] = [];
      const answered: { readonly key: string; readonly index: number }[] = [];
      const promises: Promise<void>[] = [];

      for (const step of history) {
        if ("submit" in step) {
          const number = submittedMs.push(clock.now()) - 1;
          const promise = batcher.submit(
            step.submit,
            windowAt(number, features(number)),
            setup.oneCall ? { call: "one" } : undefined,
          );
          promises.push(
            promise.then((answer) => {
              answered.push({ key: step.submit, index: answer.index });
              expect(answer.index).toBe(number);
              if (answer.kind === "dropped") return;
              expect(answer.batchSize).toBeLessThanOrEqual(maxBatch);
              const [first = 0, second = 1] = answer.probabilities;
              // p₀ / p₁ = exp((z₀ − z₁) / temperature)
              expect(Math.log(first / second) * SMALL_MANIFEST.temperature).toBeCloseTo(number / 100, 4);
              // A full batch may wait for the one before it in its backend, on top of the queue.
              expect(answer.queuedMs).toBeLessThanOrEqual(deadlineMs + Math.max(...setup.batchMs));
            }),
          );
        } else if ("advanceMs" in step) {
          for (let ms = 0; ms < step.advanceMs; ms++) {
            clock.advance(1);
            await settle();
          }
        } else if ("load" in step) {
          batcher.followLoad(step.load);
        } else {
          backends[step.revive]?.revive();
        }
        await settle();
        const { queued, inFlight, submitted, estimated, dropped, backendsUp, delayMs } = batcher.stats;
        expect(queued).toBeLessThanOrEqual(queueLimit);
        expect(estimated + sum(dropped) + queued + inFlight).toBe(submitted);
        // The last `queued` ones are those that wait; with turns, an older one may.
        const oldestMs = submittedMs[submitted - queued] ?? clock.now();
        expect(clock.now() - oldestMs).toBeLessThan(deadlineMs);
        if (inFlight === 0 && backendsUp > 0 && queued > 0) {
          expect(queued).toBeLessThan(maxBatch);
          expect(clock.now() - oldestMs).toBeLessThan(delayMs);
          expect(delayMs).toBeLessThanOrEqual(Math.max(maxDelayMs, busyDelayMs));
        }
      }

      const closing = batcher.close();
      for (let ms = 0; ms < 50; ms++) {
        await settle();
        clock.advance(1);
      }
      await closing;
      await Promise.all(promises);
      expect(answered).toHaveLength(submittedMs.length);
      for (const key of ["a", "b", "c"]) {
        const indices = answered.filter((answer) => answer.key === key).map((answer) => answer.index);
        expect(indices).toEqual(indices.toSorted((a, b) => a - b));
      }
      expect(batcher.stats.inFlight + batcher.stats.queued).toBe(0);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 150 },
  );
});

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
