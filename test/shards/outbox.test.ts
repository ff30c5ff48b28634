import { setImmediate as endOfTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { monotonicMs, sampleIndex, wallMs } from "../../src/core/units.ts";
import { createDepartureMemory, Departures, followDelay } from "../../src/shards/departures.ts";
import { Outbox } from "../../src/shards/outbox.ts";
import type { FromShard, ShardNews, WindowNews } from "../../src/shards/shard-protocol.ts";
import { createWindowMailbox, WindowMailbox } from "../../src/shards/window-mailbox.ts";
import { ManualClock } from "../support/manual-clock.ts";

const dropped = (index: number): ShardNews =>
  ({ kind: "unit", media: 1, run: 0, unit: { kind: "dropped", index, reason: "overload" } }) as ShardNews;
const answer = (request: number): ShardNews => ({ kind: "answer", request, value: undefined });

const edge = (): ShardNews =>
  ({ kind: "unit", media: 1, run: 0, unit: { kind: "speech", state: "started" } }) as ShardNews;

/** @param delayMs for which windows wait for others @param batch windows that are one */
function setUp({ delayMs = 0, batch = 8, shards = 1 } = {}) {
  const clock = new ManualClock(100);
  const memory = createDepartureMemory();
  followDelay(memory, delayMs, shards);
  const mailbox = new WindowMailbox(createWindowMailbox(2, 4));
  const open = () => {
    const sent: FromShard[] = [];
    const departures = new Departures(memory, clock);
    const outbox = new Outbox({ clock, mailbox, departures, batch, send: (news) => sent.push(news) });
    return { sent, outbox };
  };
  return { clock, memory, mailbox, open, ...open() };
}

/** A window of 4 features, with all that may be said of one, or with no more than must be. */
function window(mailbox: WindowMailbox, full: boolean): WindowNews {
  const features = Float32Array.of(1, 2, 3, 4);
  return {
    kind: "unit",
    media: 3,
    run: 2,
    unit: {
      kind: "window",
      index: 17,
      start: sampleIndex(16_000),
      end: sampleIndex(64_000),
      mediaStartMs: 1_000,
      mediaEndMs: 4_000,
      wallStartMs: wallMs(1_800_000_000_000.25),
      wallEndMs: wallMs(1_800_000_003_000.25),
      wallSource: full ? "ntp" : "arrival",
      speechShare: 0.1,
      lossShare: 0.3,
      arrivalMs: monotonicMs(123.456_789),
      readyMs: monotonicMs(124.5),
      frames: 300,
      fresh: full ? 50 : undefined,
      freshOnly: full,
      row: mailbox.put(features) ?? -1,
      shadowRow: full ? mailbox.put(features) : undefined,
    },
  };
}

describe("a shard's outbox", () => {
  test("sends what came in 1 turn as 1 message, in order", async () => {
    const { sent, outbox } = setUp();

    outbox.put(dropped(0));
    outbox.put(answer(7));
    outbox.put(dropped(1));
    expect(sent).toEqual([]);
    await endOfTurn();

    expect(sent).toEqual([[dropped(0), answer(7), dropped(1)]]);
    await endOfTurn();
    expect(sent.length).toBe(1);
  });

  test("sends 2 units that are due at once when it is told to, and nothing twice", async () => {
    const { sent, outbox, clock } = setUp();

    outbox.put(dropped(0));
    outbox.speak(clock.now());
    outbox.put(dropped(1));
    expect(outbox.speak(clock.now())).toBe(Number.POSITIVE_INFINITY);
    await endOfTurn();

    expect(sent).toEqual([[dropped(0)], [dropped(1)]]);
  });

  test("sends a window as the number of its row, from which all that was said of it is read", async () => {
    for (const full of [true, false]) {
      const { mailbox, sent, outbox } = setUp();
      const told = window(mailbox, full);

      outbox.put(told);
      await endOfTurn();

      expect(sent).toEqual([[told.unit.row]]);
      expect(mailbox.read(told.unit.row)).toEqual(told);
    }
  });

  test("holds 2 units for 20 ms after the first, and sends both as 1 message", async () => {
    const { sent, outbox, clock } = setUp({ delayMs: 20 });

    outbox.put(dropped(0));
    clock.advance(12);
    outbox.put(dropped(1));
    await endOfTurn();
    expect(outbox.speak(clock.now())).toBe(120);
    clock.advance(7.5);
    expect(sent).toEqual([]);
    clock.advance(0.5);

    expect(sent).toEqual([[dropped(0), dropped(1)]]);
    expect(clock.pending).toBe(0);
  });

  test("holds 1 unit for 20 ms although the timer of one that went before stands at 12", async () => {
    const { sent, outbox, clock } = setUp({ delayMs: 20 });
    outbox.put(dropped(0));
    clock.advance(8);
    outbox.put(answer(7));
    await endOfTurn();
    expect(sent).toEqual([[dropped(0), answer(7)]]);

    clock.advance(13);
    outbox.put(dropped(1));
    clock.advance(19);
    expect(sent.length).toBe(1);
    clock.advance(1);

    expect(sent[1]).toEqual([dropped(1)]);
  });

  test("sends what it holds, in order, with 1 answer, and when 3 units, be they edges of speech, are a batch", async () => {
    for (const last of [answer(7), dropped(2)]) {
      const { sent, outbox } = setUp({ delayMs: 20, batch: 3 });

      outbox.put(dropped(0));
      outbox.put(edge());
      await endOfTurn();
      expect(sent).toEqual([]);
      outbox.put(last);
      await endOfTurn();

      expect(sent).toEqual([[dropped(0), edge(), last]]);
    }
  });

  test("of 2 shards, the units depart at 1 time, 2 ms before those that wait longest have waited 20", async () => {
    const { sent, outbox, clock, open } = setUp({ delayMs: 20, shards: 2 });
    const other = open();

    outbox.put(dropped(0));
    clock.advance(11);
    other.outbox.put(dropped(1));
    clock.advance(6.5);
    expect([sent, other.sent]).toEqual([[], []]);
    clock.advance(0.5);

    expect([sent, other.sent]).toEqual([[[dropped(0)]], [[dropped(1)]]]);
  });

  test("holds units no longer than windows wait now: 5 ms, though another shard still holds some for 20", async () => {
    const { outbox, clock, memory, open } = setUp({ delayMs: 20 });
    const other = open();
    outbox.put(dropped(0));

    followDelay(memory, 5, 1);
    other.outbox.put(dropped(1));
    clock.advance(5);

    expect(other.sent).toEqual([[dropped(1)]]);
  });

  test("sends 0 units of a run that was stopped meanwhile, and gives their rows back", async () => {
    const { mailbox, sent, outbox } = setUp();
    const row = mailbox.put(Float32Array.of(1, 2, 3, 4));
    outbox.put({ kind: "whole", media: 1, run: 0, row });
    outbox.put(dropped(0));

    outbox.forget(1, 0);
    await endOfTurn();

    expect(sent).toEqual([]);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });
});
