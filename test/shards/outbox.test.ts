import { setImmediate as endOfTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Outbox } from "../../src/shards/outbox.ts";
import type { FromShard, ShardNews } from "../../src/shards/shard-protocol.ts";
import { createWindowMailbox, WindowMailbox } from "../../src/shards/window-mailbox.ts";

const dropped = (index: number): ShardNews =>
  ({ kind: "unit", media: 1, run: 0, unit: { kind: "dropped", index, reason: "overload" } }) as ShardNews;
const answer = (request: number): ShardNews => ({ kind: "answer", request, value: undefined });

function setUp() {
  const mailbox = new WindowMailbox(createWindowMailbox(2, 4));
  const sent: FromShard[] = [];
  const outbox = new Outbox(mailbox, (news) => sent.push(news));
  return { mailbox, sent, outbox };
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

  test("sends 2 units at once when it is told to, and nothing twice", async () => {
    const { sent, outbox } = setUp();

    outbox.put(dropped(0));
    outbox.flush();
    outbox.put(dropped(1));
    outbox.flush();
    await endOfTurn();

    expect(sent).toEqual([[dropped(0)], [dropped(1)]]);
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
