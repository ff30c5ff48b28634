import { describe, expect, it } from "vitest";
import { monotonicMs, wallMs } from "../../src/core/units.ts";
import { VirtualClock } from "../../src/core/virtual-clock.ts";

describe("VirtualClock", () => {
  it("runs 4 timers in the order they fall due, each at its exact time", () => {
    const clock = new VirtualClock(wallMs(1_000));
    const ran: string[] = [];
    const note = (name: string) => () => ran.push(`${name} at ${clock.now()}, ${clock.wall()}`);
    clock.schedule(30, note("late"));
    clock.schedule(10, note("early"));
    clock.schedule(10, note("early too"));
    clock.schedule(31, note("too late"));

    clock.advanceTo(monotonicMs(30));

    expect(ran).toEqual(["early at 10, 1010", "early too at 10, 1010", "late at 30, 1030"]);
    expect(clock.pending).toBe(1);
    expect(clock.now()).toBe(30);
  });

  it("repeats 3 times in 35 ms until cancelled, and cancelling twice is harmless", () => {
    const clock = new VirtualClock(wallMs(0));
    let runs = 0;
    const cancel = clock.repeat(10, () => runs++);

    clock.advanceTo(monotonicMs(35));
    cancel();
    cancel();
    clock.advanceTo(monotonicMs(100));

    expect(runs).toBe(3);
    expect(clock.pending).toBe(0);
  });

  it("runs a timer set by a timer when both fall due within the same 20 ms", () => {
    const clock = new VirtualClock(wallMs(0));
    const times: number[] = [];
    clock.schedule(5, () => clock.schedule(10, () => times.push(clock.now())));

    clock.advanceTo(monotonicMs(20));

    expect(times).toEqual([15]);
  });

  it("stays at 20 ms when told to go back to 10", () => {
    const clock = new VirtualClock(wallMs(0));
    clock.advanceTo(monotonicMs(20));
    clock.advanceTo(monotonicMs(10));
    expect(clock.now()).toBe(20);
  });
});
