import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TonetapError } from "../src/core/errors.ts";
import { OVERLOAD_STEPS, type OverloadStep } from "../src/core/overload.ts";
import { monotonicMs } from "../src/core/units.ts";
import { OverloadControl } from "../src/overload.ts";

const OPTIONS = { raiseAbove: 0.85, lowerBelow: 0.6, hopFactor: 2 };

/** Measures once a second from `fromS` on. */
function measure(
  control: OverloadControl,
  loads: readonly number[],
  participants = 100,
  fromS = 0,
): OverloadStep[] {
  return loads.map((load, i) => {
    control.measure(load, participants, monotonicMs((fromS + i) * 1000));
    return control.step;
  });
}

const refuses = (control: OverloadControl): boolean => {
  try {
    control.admit();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(TonetapError);
    expect(error).toMatchObject({ code: "overloaded", retryable: true });
    return true;
  }
};

describe("overload control", () => {
  test("7 s at 95 % take the 3 steps in order, one every 2 s", () => {
    const control = new OverloadControl(OPTIONS);
    expect(measure(control, [0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95])).toEqual([
      "none",
      "none",
      "longer-hop",
      "longer-hop",
      "skip-low",
      "skip-low",
      "refuse",
      "refuse",
    ]);
  });

  test("1 s at 95 % between calmer seconds takes none", () => {
    const control = new OverloadControl(OPTIONS);
    expect(new Set(measure(control, [0.95, 0.95, 0.8, 0.95, 0.95, 0.8]))).toEqual(new Set(["none"]));
  });

  test("after 3 steps, 30 s at 50 % take all back, one every 10 s; 70 % takes none back", () => {
    const control = new OverloadControl(OPTIONS);
    measure(control, new Array<number>(7).fill(1));
    expect(control.step).toBe("refuse");
    measure(control, new Array<number>(60).fill(0.7), 100, 7);
    expect(control.step).toBe("refuse");
    const steps = measure(control, new Array<number>(31).fill(0.5), 100, 67);
    expect([steps[9], steps[10], steps[20], steps[30]]).toEqual(["refuse", "skip-low", "longer-hop", "none"]);
  });

  test("the pace of 3 priorities at 4 steps", () => {
    const control = new OverloadControl({ ...OPTIONS, hopFactor: 3 });
    const paces = () => [control.paceOf("high"), control.paceOf("normal"), control.paceOf("low")];
    expect(paces()).toEqual([1, 1, 1]);
    measure(control, [1, 1, 1]);
    expect(paces()).toEqual([3, 3, 3]);
    measure(control, [1, 1], 100, 3);
    expect(paces()).toEqual([3, 3, Number.POSITIVE_INFINITY]);
    measure(control, [1, 1], 100, 5);
    expect(control.step).toBe("refuse");
    expect(paces()).toEqual([3, 3, Number.POSITIVE_INFINITY]);
  });

  test("100 participants make 50 %: of 1,000 that come at once 50–90 find room below 85 %", () => {
    const control = new OverloadControl(OPTIONS);
    measure(control, new Array<number>(20).fill(0.5), 100);
    let taken = 0;
    for (let i = 0; i < 1_000; i++) if (!refuses(control)) taken++;
    expect(taken).toBeGreaterThanOrEqual(50);
    expect(taken).toBeLessThanOrEqual(90);
    expect(control.refusedParticipants).toBe(1_000 - taken);
  });

  test("in step 3 nobody is taken, and the error names the 2 shares", () => {
    const control = new OverloadControl(OPTIONS);
    measure(control, new Array<number>(7).fill(0.97));
    expect(() => control.admit()).toThrow(/at 97 % of a thread.*up to 85 %/);
  });

  test("any 200 measurements: a step is left or reached only by one at a time, and told", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1.5, noNaN: true }), { maxLength: 200 }), (loads) => {
        const told: [OverloadStep, OverloadStep][] = [];
        const control = new OverloadControl({
          ...OPTIONS,
          onStep: (step, previous) => told.push([previous, step]),
        });
        const steps = measure(control, loads);
        let before: OverloadStep = "none";
        const seen: [OverloadStep, OverloadStep][] = [];
        for (const step of steps) {
          if (step !== before) seen.push([before, step]);
          before = step;
        }
        expect(told).toEqual(seen);
        for (const [from, to] of told) {
          expect(Math.abs(OVERLOAD_STEPS.indexOf(from) - OVERLOAD_STEPS.indexOf(to))).toBe(1);
        }
      }),
    );
  });

  test("3 options out of range are refused by name", () => {
    expect(() => new OverloadControl({ ...OPTIONS, raiseAbove: 2 })).toThrow(
      /overload.raiseAbove.*0.3.*1.*2/,
    );
    expect(() => new OverloadControl({ ...OPTIONS, lowerBelow: 0.9 })).toThrow(/overload.lowerBelow/);
    expect(() => new OverloadControl({ ...OPTIONS, hopFactor: 1 })).toThrow(/overload.hopFactor/);
  });
});
