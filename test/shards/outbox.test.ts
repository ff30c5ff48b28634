import { setImmediate as endOfTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Outbox } from "../../src/shards/outbox.ts";
import type { FromShard, ShardNews } from "../../src/shards/shard-protocol.ts";
import { createWindowMailbox, WindowMailbox } from "../../src/shards/window-mailbox.ts";
import { ManualClock } from "../support/manual-clock.ts";

const dropped = (index: number): ShardNews =>
  ({ kind: "unit", media: 1, run: 0, unit: { kind: "dropped", index, reason: "overload" } }) as ShardNews;
const answer = (request: number): ShardNews => ({ kind: "answer", request, value: undefined });

function setUp(gatherMs: number) {
  const clock = new ManualClock();
  const mailbox = new WindowMailbox(createWindowMailbox(2, 4));
  const sent: FromShard[] = [];
  const outbox = new Outbox({ clock, mailbox, gatherMs, send: (news) => sent.push(news) });
  return { clock, mailbox, sent, outbox };
}

describe("a shard's outbox", () => {
  test("sends 3 units that come within 2 ms as 1 message, in order", async () => {
    const { clock, sent, outbox } = setUp(2);

    outbox.put(dropped(0));
    await endOfTurn();
    clock.advance(1);
    outbox.put(dropped(1));
    outbox.put(dropped(2));
    await endOfTurn();
    expect(sent).toEqual([]);
    clock.advance(1);

    expect(sent).toEqual([[dropped(0), dropped(1), dropped(2)]]);
    clock.advance(10);
    await endOfTurn();
    expect(sent.length).toBe(1);
  });

  test("takes 2 units along with an answer that is waited for, at the end of the turn", async () => {
    const { clock, sent, outbox } = setUp(2);

    outbox.put(dropped(0));
    outbox.put(answer(7));
    outbox.put(dropped(1));
    await endOfTurn();

    expect(sent).toEqual([[dropped(0), answer(7), dropped(1)]]);
    // The next unit has its own 2 ms.
    outbox.put(dropped(2));
    clock.advance(1);
    await endOfTurn();
    expect(sent.length).toBe(1);
    clock.advance(1);
    expect(sent.length).toBe(2);
  });

  test("waits for nothing where it is to gather for 0 ms", async () => {
    const { sent, outbox } = setUp(0);

    outbox.put(dropped(0));
    await endOfTurn();

    expect(sent).toEqual([[dropped(0)]]);
  });

  test("sends 0 units of a run that was stopped meanwhile, and gives their rows back", async () => {
    const { clock, mailbox, sent, outbox } = setUp(2);
    const row = mailbox.put(Float32Array.of(1, 2, 3, 4));
    outbox.put({ kind: "whole", media: 1, run: 0, row });
    outbox.put(dropped(0));

    outbox.forget(1, 0);
    await endOfTurn();
    clock.advance(2);

    expect(sent).toEqual([]);
    expect([mailbox.used, mailbox.isWiped()]).toEqual([0, true]);
  });
});
