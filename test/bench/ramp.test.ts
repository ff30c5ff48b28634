/** The ramp's search against made-up services whose limit is known. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { capacityOf, nextParticipants, type RampLimits, type RampPoint } from "../../bench/live/ramp.ts";

const LIMITS: RampLimits = { cpuCores: 1, p99Ms: 150, resolution: 0.03, maxParticipants: 2_000 };

/** CPU is affine in the load; answers come late from `lateFrom` participants on. */
const service =
  (fixedCores: number, coresEach: number, lateFrom = Number.POSITIVE_INFINITY) =>
  (participants: number): RampPoint => ({
    participants,
    cpuCores: fixedCores + coresEach * participants,
    p99Ms: participants >= lateFrom ? 400 : 20,
    lostPackets: 0,
    droppedWindows: 0,
    starved: false,
  });

function search(measure: (participants: number, attempt: number) => RampPoint, first = 100): RampPoint[] {
  const points: RampPoint[] = [];
  for (let load = nextParticipants(points, LIMITS, first); load !== undefined; ) {
    points.push(measure(load, points.length));
    expect(points.length).toBeLessThan(40);
    load = nextParticipants(points, LIMITS, first);
  }
  return points;
}

describe("the ramp", () => {
  test("finds 237 participants a core within 1 % in at most 6 steps when CPU is affine in the load", () => {
    const points = search(service(0.05, 0.004));
    expect(capacityOf(points, LIMITS)).toEqual({ participants: 237, limitedBy: "cpu", disturbed: false });
    expect(points.length).toBeLessThanOrEqual(6);
  });

  test("finds any limit by CPU within 3 %, wherever it begins", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.3, noNaN: true }),
        fc.double({ min: 0.0008, max: 0.05, noNaN: true }),
        fc.integer({ min: 1, max: 400 }),
        (fixed, each, first) => {
          const truth = (1 - fixed) / each;
          const { participants, limitedBy } = capacityOf(search(service(fixed, each), first), LIMITS);
          expect(limitedBy).toBe("cpu");
          expect(Math.abs(participants - truth)).toBeLessThanOrEqual(Math.max(1, 0.03 * truth));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("ends below 180 participants when answers come late from there on, though CPU has room", () => {
    const { participants, limitedBy } = capacityOf(search(service(0.05, 0.002, 180)), LIMITS);
    expect(limitedBy).toBe("latency");
    expect(participants).toBeLessThan(180);
    expect(participants).toBeGreaterThanOrEqual(174);
  });

  test("tries a load again before 1 late step counts", () => {
    const steady = service(0.05, 0.004);
    const points = search((load, attempt) => ({ ...steady(load), p99Ms: attempt === 0 ? 900 : 20 }));
    expect(points.slice(0, 2).map((point) => point.participants)).toEqual([100, 100]);
    expect(capacityOf(points, LIMITS).participants).toBe(237);
  });

  test("ends after 2 steps that lost packets at one load", () => {
    const steady = service(0.05, 0.004);
    const points = search((load) => ({ ...steady(load), lostPackets: load > 50 ? 3 : 0 }));
    expect(capacityOf(points, LIMITS)).toMatchObject({ limitedBy: "loss" });
    expect(capacityOf(points, LIMITS).participants).toBeLessThanOrEqual(50);
  });

  test("does not take 900 ms for the service's when the sender itself was late, and says so", () => {
    const steady = service(0.05, 0.004);
    const points = search((load) => ({ ...steady(load), p99Ms: 900, starved: true }));
    expect(capacityOf(points, LIMITS)).toEqual({ participants: 237, limitedBy: "cpu", disturbed: true });
  });

  test("stops at 2,000 participants when nothing limits", () => {
    const points = search(service(0.01, 0.0001));
    expect(points.at(-1)?.participants).toBe(2_000);
    expect(capacityOf(points, LIMITS)).toMatchObject({ participants: 2_000, limitedBy: "none" });
  });

  test("gives 0 when not even 1 participant is carried", () => {
    const points = search(service(1.5, 0.1));
    expect(points.at(-1)?.participants).toBe(1);
    expect(capacityOf(points, LIMITS)).toMatchObject({ participants: 0, limitedBy: "cpu" });
  });
});
