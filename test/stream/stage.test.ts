import { from, Subject, take } from "rxjs";
import { describe, expect, test } from "vitest";
import { type Stage, stageOperator } from "../../src/stream/stage.ts";

/** Emits each number twice; notes what is done to it. */
function doubling(log: string[]) {
  return stageOperator<number, number>((emit): Stage<number> => {
    log.push("made");
    return {
      take(unit) {
        if (unit < 0) throw new RangeError("negative");
        emit(unit);
        emit(unit);
        log.push(`took ${unit}`);
      },
      end: () => emit(100),
      close: () => log.push("closed"),
    };
  });
}

function watch(source: Subject<number>, log: string[]) {
  const seen: unknown[] = [];
  const subscription = source.pipe(doubling(log)).subscribe({
    next: (value) => seen.push(value),
    error: (error: unknown) => seen.push(error),
    complete: () => seen.push("complete"),
  });
  return { seen, subscription };
}

describe("stage operator", () => {
  test("completion lets the stage emit 1 last unit, then closes it once", () => {
    const log: string[] = [];
    const source = new Subject<number>();
    const { seen } = watch(source, log);
    source.next(1);
    source.complete();
    expect(seen).toEqual([1, 1, 100, "complete"]);
    expect(log).toEqual(["made", "took 1", "closed"]);
  });

  test("what a stage throws at unit −1 is a TonetapError of the stream; the stage is closed once", () => {
    const log: string[] = [];
    const source = new Subject<number>();
    const { seen } = watch(source, log);
    source.next(-1);
    source.next(2);
    expect(seen).toEqual([expect.objectContaining({ name: "TonetapError", code: "internal" })]);
    expect(log).toEqual(["made", "closed"]);
    expect(source.observed).toBe(false);
  });

  test("an error of the source closes the stage without its end: 0 units after it", () => {
    const log: string[] = [];
    const source = new Subject<number>();
    const { seen } = watch(source, log);
    source.error("gone");
    expect(seen).toEqual(["gone"]);
    expect(log).toEqual(["made", "closed"]);
  });

  test("an unsubscribe from within the 1st emission closes the stage after its work, not under it", () => {
    const log: string[] = [];
    const seen: number[] = [];
    from([1, 2, 3])
      .pipe(doubling(log), take(1))
      .subscribe((value) => seen.push(value));
    expect(seen).toEqual([1]);
    expect(log).toEqual(["made", "took 1", "closed"]);
  });

  test("2 subscribers have 2 stages", () => {
    const log: string[] = [];
    const shared = from([1]).pipe(doubling(log));
    shared.subscribe();
    shared.subscribe();
    expect(log).toEqual(["made", "took 1", "closed", "made", "took 1", "closed"]);
  });
});
