import { expect, test } from "vitest";
import type { BatcherStats } from "../src/inference/index.ts";
import { ServiceMeter } from "../src/service-meter.ts";
import { ManualClock } from "./support/manual-clock.ts";

const dropped = { overload: 1, deadline: 2, backend: 3, closed: 4 };
const stats = (estimated: number, batches: number) => ({ estimated, batches, dropped }) as BatcherStats;

test("2 periods are told apart: windows a second, mean batch and latency speak of their own", () => {
  const clock = new ManualClock();
  const meter = new ServiceMeter(clock);
  for (const ms of [5, 5, 5, 100]) meter.latency.record(ms);
  clock.advance(2_000);

  const first = meter.take(stats(40, 10));
  clock.advance(1_000);
  const second = meter.take(stats(46, 12));
  const idle = meter.take(stats(46, 12));

  expect(first).toMatchObject({ windowsPerSecond: 20, meanBatchSize: 4, droppedWindows: 10 });
  expect(first.latencyMs.p50).toBeCloseTo(5, 0);
  expect(first.latencyMs.p99).toBe(100);
  expect(second).toMatchObject({ windowsPerSecond: 6, meanBatchSize: 3, latencyMs: { p50: 0, p99: 0 } });
  expect(idle).toMatchObject({ windowsPerSecond: 0, meanBatchSize: 0 });
  expect(first.rssBytes).toBeGreaterThan(1e6);
});
