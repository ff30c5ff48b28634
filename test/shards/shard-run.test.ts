import { Subscriber } from "rxjs";
import { describe, expect, test } from "vitest";
import { monotonicMs, sampleIndex, wallMs } from "../../src/core/units.ts";
import type { HeardUnit } from "../../src/core/window.ts";
import type { ShardOrder, ToldWindow } from "../../src/shards/shard-protocol.ts";
import { ShardRun } from "../../src/shards/shard-run.ts";
import { createWindowMailbox, WindowMailbox } from "../../src/shards/window-mailbox.ts";

/** Features of a whole window, and of its fresh frames. */
const WHOLE = 6;
const FRESH = 2;

function setUp({ suffices }: { readonly suffices: (index: number) => boolean }) {
  const memory = createWindowMailbox(4, WHOLE);
  const mailbox = new WindowMailbox(memory);
  const orders: ShardOrder[] = [];
  const heard: string[] = [];
  const link = { mailbox, order: (order: ShardOrder): void => void orders.push(order) };
  const subscriber = new Subscriber<HeardUnit>({
    next: (unit) => heard.push(sayOf(unit)),
    error: (error: unknown) => heard.push(`failed: ${String(error)}`),
    complete: () => heard.push("complete"),
  });
  const run: ShardRun = new ShardRun({
    media: 1,
    run: 0,
    link,
    subscriber,
    needsFreshOnly: ({ end }) => suffices(end),
    onOver: () => heard.push("over"),
  });
  /** The shard tells a window as its fresh frames, or as all of them. */
  const window = (index: number, freshOnly = true): void =>
    run.receive({ kind: "unit", media: 1, run: 0, unit: told(mailbox, index, freshOnly) });
  const edge = (durationMs: number): void =>
    run.receive({
      kind: "unit",
      media: 1,
      run: 0,
      unit: { ...at(0), kind: "speech", state: "ended", mediaMs: 0, durationMs, at: sampleIndex(0) },
    });
  const whole = (row: number | undefined): void => run.receive({ kind: "whole", media: 1, run: 0, row });
  const over = (): void => run.receive({ kind: "run-over", media: 1, run: 0, error: undefined });
  return { run, mailbox, orders, heard, window, edge, whole, over };
}

const at = (index: number) => ({
  index,
  start: sampleIndex(0),
  end: sampleIndex(index),
  mediaStartMs: 0,
  mediaEndMs: 0,
  wallMs: wallMs(0),
  wallStartMs: wallMs(0),
  wallEndMs: wallMs(0),
  wallSource: "arrival" as const,
  speechShare: 1,
  lossShare: 0,
  arrivalMs: monotonicMs(0),
});

function told(mailbox: WindowMailbox, index: number, freshOnly: boolean): ToldWindow {
  const row = mailbox.put(new Float32Array(freshOnly ? FRESH : WHOLE).fill(index)) ?? -1;
  return {
    ...at(index),
    kind: "window",
    readyMs: monotonicMs(0),
    frames: 3,
    fresh: 1,
    row,
    freshOnly,
    shadowRow: undefined,
  };
}

function sayOf(unit: HeardUnit): string {
  if (unit.kind === "speech") return `edge ${unit.durationMs}`;
  if (unit.kind !== "window") return `${unit.kind} ${unit.index}`;
  const { index, freshFeatures } = unit;
  return freshFeatures === undefined
    ? `whole ${index}: ${unit.features}`
    : `fresh ${index}: ${freshFeatures}`;
}

describe("a run on the main thread", () => {
  test("gives 3 windows on as they came: their fresh frames alone, and all of one that was sent whole", () => {
    const { window, heard, mailbox, orders } = setUp({ suffices: () => true });

    window(1, false);
    window(2);
    window(3);

    expect(heard).toEqual(["whole 1: 1,1,1,1,1,1", "fresh 2: 2,2", "fresh 3: 3,3"]);
    expect([orders.length, mailbox.used, mailbox.isWiped()]).toEqual([0, 0, true]);
  });

  test("fetches the rest of 1 window that is to be judged whole, and keeps what came after it in its place", () => {
    const { window, edge, whole, over, heard, mailbox, orders } = setUp({ suffices: (end) => end !== 2 });

    window(1);
    window(2);
    edge(7);
    window(3);
    over();
    expect(heard).toEqual(["fresh 1: 1,1"]);
    whole(mailbox.putWhole((out) => out.fill(2) === out));

    expect(orders).toEqual([{ kind: "whole", media: 1, run: 0, index: 2 }]);
    expect(heard.slice(1)).toEqual(["whole 2: 2,2,2,2,2,2", "edge 7", "fresh 3: 3,3", "over", "complete"]);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });

  test("gives 1 window up that is fetched too late, and fetches the next by itself", () => {
    const { window, whole, heard, mailbox, orders } = setUp({ suffices: () => false });

    window(1);
    window(2);
    whole(undefined);
    whole(mailbox.putWhole((out) => out.fill(9) === out));

    expect(heard).toEqual(["dropped 1", "whole 2: 9,9,9,9,9,9"]);
    expect(orders.length).toBe(2);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });

  test("tells 0 units once it is stopped, and wipes the 3 that wait", () => {
    const { run, window, heard, mailbox } = setUp({ suffices: () => false });
    window(1);
    window(2);
    window(3);
    expect(mailbox.used).toBe(3);

    run.stop();

    expect(heard).toEqual([]);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });

  test("has what 2 windows came to told before it completes when its shard breaks down", () => {
    const { run, window, edge, heard, mailbox } = setUp({ suffices: (end) => end === 3 });
    window(1);
    edge(5);
    window(3);

    run.lost();

    expect(heard).toEqual(["dropped 1", "edge 5", "fresh 3: 3,3", "complete"]);
    expect(mailbox.used).toBe(0);
  });
});

describe("the mailbox", () => {
  test("gives 2 of 4 rows out for what is put in, and wipes no more than that of them", () => {
    const memory = createWindowMailbox(4, WHOLE);
    const mailbox = new WindowMailbox(memory);
    const lent = mailbox.borrow(FRESH);
    lent.fill(1);
    const rows = [mailbox.put(lent), mailbox.put(new Float32Array(WHOLE).fill(2))];
    mailbox.giveBack(lent);

    expect(rows).toEqual([0, 1]);
    expect(rows.map((row) => mailbox.at(row ?? -1).length)).toEqual([FRESH, WHOLE]);
    expect(mailbox.used).toBe(2);
    for (const row of rows) mailbox.release(row ?? -1);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });

  test("keeps 0 rows of a window that could not be made any more", () => {
    const mailbox = new WindowMailbox(createWindowMailbox(1, WHOLE));

    expect(mailbox.putWhole(() => false)).toBeUndefined();
    expect(mailbox.used).toBe(0);
    expect(mailbox.putWhole((out) => out.length === WHOLE)).toBe(0);
    expect(mailbox.putWhole(() => true)).toBeUndefined();
  });
});
