/** The hub delivers in order, bounded, once serialised, and knows what is live: hub.ts and its parts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import { EventFactory } from "../../src/events/event-factory.ts";
import { EventQueue } from "../../src/events/event-queue.ts";
import { EventHub } from "../../src/events/hub.ts";
import { PublishedEvent } from "../../src/events/published-event.ts";
import { kindOf, type TonetapEvent } from "../../src/events/schema.ts";
import { ADA, emotion, joinedOf } from "./support.ts";

const BOB = { ...ADA, participantId: "bob" };
const quiet = (): void => undefined;

function drain(subscription: { take(): PublishedEvent | undefined }): PublishedEvent[] {
  const events: PublishedEvent[] = [];
  for (let next = subscription.take(); next !== undefined; next = subscription.take()) events.push(next);
  return events;
}

/** A hub in which Ada and Bob talk. */
function talk(): { hub: EventHub; factory: EventFactory } {
  const hub = new EventHub();
  const factory = new EventFactory();
  hub.publish(factory.create("call.started", { callId: ADA.callId }));
  hub.publish(factory.create("participant.joined", joinedOf(ADA)));
  hub.publish(factory.create("participant.joined", joinedOf(BOB)));
  return { hub, factory };
}

describe("an event queue", () => {
  const { emotion: expendable, "speech.ended": essential } = eventExamples();

  test("of any limit keeps the order, counts what it gave up, and gives up essential events only for essential ones", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.boolean(), { maxLength: 60 }),
        (limit, kinds) => {
          const queue = new EventQueue(limit);
          const given = kinds.map(
            (isEmotion, i) => new PublishedEvent(isEmotion ? expendable : essential, i),
          );
          for (const event of given) queue.push(event);
          const length = queue.length;
          const taken: PublishedEvent[] = [];
          for (let next = queue.shift(); next !== undefined; next = queue.shift()) taken.push(next);
          expect(taken).toHaveLength(length);
          expect(taken.map((event) => event.order)).toEqual(
            taken.map((event) => event.order).sort((a, b) => a - b),
          );
          expect(queue.dropped).toBe(given.length - taken.length);
          for (const sort of [true, false]) {
            const wanted = given.filter((event) => event.expendable === sort).slice(-limit);
            expect(taken.filter((event) => event.expendable === sort)).toEqual(wanted);
          }
        },
      ),
    );
  });
});

describe("the hub", () => {
  test("gives 200 subscribers the same 50 events in the same order, each turned into JSON once", () => {
    const { hub, factory } = talk();
    const subscriptions = Array.from({ length: 200 }, () => hub.subscribe({ snapshot: false }, quiet));
    const sent = Array.from({ length: 50 }, (_, i) => emotion(factory, ADA, i));
    for (const event of sent) hub.publish(event);
    const taken = subscriptions.map(drain);
    const first = taken[0]?.map((published) => published.json) ?? [];
    expect(first.map((json) => JSON.parse(json.toString()))).toEqual(sent);
    for (const events of taken) {
      expect(events).toHaveLength(50);
      events.forEach((published, i) => {
        // The same Buffer, not an equal one.
        expect(published.json).toBe(first[i]);
      });
    }
  });

  test("keeps 4 emotion events of a subscriber who takes none, and counts the 6 others as dropped", () => {
    const { hub, factory } = talk();
    const slow = hub.subscribe({ queueLimit: 4, snapshot: false }, quiet);
    for (let i = 0; i < 10; i++) hub.publish(emotion(factory, ADA, i));
    expect(slow.dropped).toBe(6);
    expect(slow.takeDropped()).toBe(6);
    expect(slow.takeDropped()).toBe(0);
    expect(drain(slow).map(({ event }) => event.type === "tonetap.emotion" && event.data.index)).toEqual([
      6, 7, 8, 9,
    ]);
    slow.close();
    expect(hub.stats).toEqual({ published: 13, dropped: 6, subscribers: 0 });
  });

  test("shows every event to 2 observers of events$ and completes them when it closes", async () => {
    const { hub, factory } = talk();
    const seen: [string[], string[]] = [[], []];
    let completed = 0;
    for (const list of seen) {
      hub.events$.subscribe({ next: (event) => list.push(event.id), complete: () => completed++ });
    }
    const event = emotion(factory, ADA, 0);
    hub.publish(event);
    await hub.close();
    await hub.close();
    hub.publish(event);
    expect(seen).toEqual([[event.id], [event.id]]);
    expect(completed).toBe(2);
    expect(() => hub.subscribe({}, quiet)).toThrow(expect.objectContaining({ code: "closed" }));
  });
});

describe("a snapshot", () => {
  test("holds the latest event of each of 5 sorts for a participant, in the order they were published", () => {
    const { hub, factory } = talk();
    hub.publish(
      factory.create("speech.started", {
        ...ADA,
        mediaMs: 0,
        wall: eventExamples()["speech.started"].data.wall,
      }),
    );
    for (let i = 0; i < 3; i++) hub.publish(emotion(factory, ADA, i));
    hub.publish(factory.create("quality", { ...eventExamples().quality.data, ...ADA }));
    const snapshot = hub.snapshot();
    expect(snapshot.map(kindOf)).toEqual([
      "call.started",
      "participant.joined",
      "participant.joined",
      "speech.started",
      "emotion",
      "quality",
    ]);
    expect(snapshot.map((event) => event.id)).toEqual(snapshot.map((event) => event.id).sort());
    expect(snapshot[4]?.data).toMatchObject({ index: 2 });
    expect(hub.snapshot({ participants: ["bob"] }).map(kindOf)).toEqual(["participant.joined"]);
  });

  test("forgets what was heard before a pause, who left, and the call that ended: 3, 2 and 0 events", () => {
    const { hub, factory } = talk();
    hub.publish(emotion(factory, ADA, 0));
    hub.publish(factory.create("participant.paused", { ...ADA, reason: "consent-withdrawn" }));
    expect(hub.snapshot({ participants: ["ada"] }).map(kindOf)).toEqual([
      "participant.joined",
      "participant.paused",
    ]);
    expect(hub.calls()[0]?.participants[0]).toMatchObject({ paused: true, speaking: false });
    expect(hub.calls()[0]?.participants[0]).not.toHaveProperty("emotion");
    const windows = { emitted: 1, abstained: 0, gated: 0, dropped: 0 };
    hub.publish(factory.create("participant.left", { ...ADA, reason: "left", durationMs: 1, windows }));
    expect(hub.snapshot().map(kindOf)).toEqual(["call.started", "participant.joined"]);
    hub.publish(
      factory.create("call.ended", { callId: ADA.callId, reason: "empty", durationMs: 1, participants: 2 }),
    );
    expect(hub.snapshot()).toEqual([]);
    expect(hub.calls()).toEqual([]);
  });

  test("comes whole to a subscriber whose queue holds 1 event, and live events follow it", () => {
    const { hub, factory } = talk();
    const subscription = hub.subscribe({ queueLimit: 1 }, quiet);
    const live = emotion(factory, BOB, 0);
    hub.publish(live);
    expect(subscription.pending).toBe(4);
    expect(drain(subscription).map(({ event }) => kindOf(event))).toEqual([
      "call.started",
      "participant.joined",
      "participant.joined",
      "emotion",
    ]);
    expect(subscription.dropped).toBe(0);
  });

  test("comes anew with another filter; the 2 events not taken are dropped and counted", () => {
    const { hub, factory } = talk();
    const subscription = hub.subscribe({ filter: { kinds: ["emotion"] } }, quiet);
    hub.publish(emotion(factory, ADA, 0));
    hub.publish(emotion(factory, ADA, 1));
    expect(subscription.setFilter({ participants: ["bob"] }, true)).toBe(1);
    expect(subscription.dropped).toBe(2);
    expect(drain(subscription).map(({ event }) => event.data)).toEqual([joinedOf(BOB)]);
  });
});

describe("a stream", () => {
  test("gives 3 snapshot and 2 live events to a loop and lets go when the loop is left", async () => {
    const { hub, factory } = talk();
    const stream = hub.stream();
    hub.publish(emotion(factory, ADA, 0));
    setImmediate(() => hub.publish(emotion(factory, ADA, 1)));
    const seen: TonetapEvent[] = [];
    for await (const event of stream) {
      seen.push(event);
      if (seen.length === 5) break;
    }
    expect(seen.map(kindOf).slice(3)).toEqual(["emotion", "emotion"]);
    expect(hub.stats.subscribers).toBe(0);
  });

  test("ends by its signal within 1 turn, and leaves no listener on it", async () => {
    const { hub } = talk();
    const abort = new AbortController();
    const stream = hub.stream({ snapshot: false, signal: abort.signal });
    const next = stream.next();
    abort.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(hub.stats.subscribers).toBe(0);
    expect(await hub.stream({ signal: AbortSignal.abort() }).next()).toMatchObject({ done: true });
  });

  test("still gives the 1 event it holds when the hub closes, then ends", async () => {
    const { hub, factory } = talk();
    const stream = hub.stream({ snapshot: false });
    hub.publish(emotion(factory, ADA, 0));
    await hub.close();
    expect(await stream.next()).toMatchObject({ done: false });
    expect(await stream.next()).toMatchObject({ done: true });
  });

  test("answers 3 next() calls made ahead, in order", async () => {
    const { hub, factory } = talk();
    const stream = hub.stream({ snapshot: false });
    const ahead = [stream.next(), stream.next(), stream.next()];
    for (let i = 0; i < 3; i++) hub.publish(emotion(factory, ADA, i));
    const indexes = (await Promise.all(ahead)).map(
      ({ value }) => value?.type === "tonetap.emotion" && value.data.index,
    );
    expect(indexes).toEqual([0, 1, 2]);
  });
});

test("2 observers see the same order even when one of them publishes in turn", () => {
  const { hub, factory } = talk();
  const seen: string[] = [];
  hub.events$.subscribe((event) => {
    if (kindOf(event) === "participant.joined")
      hub.publish(factory.create("participant.paused", { ...ADA, reason: "operator" }));
  });
  hub.events$.subscribe((event) => seen.push(kindOf(event)));
  const subscription = hub.subscribe({ snapshot: false }, quiet);

  hub.publish(factory.create("participant.joined", joinedOf({ ...ADA, participantId: "eve" })));

  expect(seen).toEqual(["participant.joined", "participant.paused"]);
  expect(drain(subscription).map(({ event }) => kindOf(event))).toEqual(seen);
});
