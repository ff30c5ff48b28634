/** How long windows wait for batch-mates in an engine whose event loop really is kept from turning. Figures alone: ../inference/batch-delay.test.ts. */
import { expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { openEngine } from "./support.ts";

/** Of a second's measurement that has just begun it is more than 60 %. */
const BUSY_MS = 3_000;

const keepBusy = (): void => {
  for (const until = performance.now() + BUSY_MS; performance.now() < until; );
};

test("windows wait 20 ms after 3 s in which the event loop had no rest, and 5 when it has rested", async () => {
  const { engine } = await openEngine();
  const waits = () => engine.batcherStats.delayMs;
  keepBusy();

  await expect.poll(waits, { timeout: 10_000, interval: 20 }).toBe(20);
  await expect.poll(waits, { timeout: 30_000 }).toBe(5);

  await engine.close();
});

test("a clock of the caller's own knows no load: windows wait 5 ms before and after 3 s without a rest", async () => {
  const clock = new ManualClock();
  const { engine } = await openEngine({}, { clock });
  keepBusy();
  clock.advance(3_000);

  expect(engine.load.main).toBeGreaterThan(0);
  expect(engine.batcherStats.delayMs).toBe(5);
  await engine.close();
});
