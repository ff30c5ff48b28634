/** The hub delivers in order, bounded, once serialised, and knows what is live: hub.ts and its parts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import { EventFactory } from "../../src/events/event-factory.ts";
import { EventQueue } from "../../src/events/event-queue.ts";
import { EventHub } from "../../src/events/hub.ts";
import { PublishedEvent } from "../../src/events/published-event.ts";
import { kindOf, type TonetapEvent } from "../../src/events/schema.ts";
import { ManualClock } from "../support/manual-clock.ts";
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
  const { "speech.ended": essential } = eventExamples();

  test("of any limit keeps the order, accounts for all, and gives up essential events only for essential ones", () => {
    const voices = ["ada", "bob", "eve"].map((participantId) => ({ ...ADA, participantId }));
    const factory = new EventFactory();
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.constantFrom<"essential" | "shift" | number>("essential", "shift", 0, 1, 2), {
          maxLength: 80,
        }),
        (limit, steps) => {
          const queue = new EventQueue(limit);
          const given: PublishedEvent[] = [];
          const taken: PublishedEvent[] = [];
          const take = (): boolean => {
            const next = queue.shift();
            if (next !== undefined) taken.push(next);
            return next !== undefined;
          };
          for (const step of steps) {
            if (step === "shift") take();
            else {
              const event =
                step === "essential" ? essential : emotion(factory, voices[step] ?? ADA, given.length);
              const published = new PublishedEvent(event, given.length);
              given.push(published);
              queue.push(published);
            }
            expect(queue.length).toBeLessThanOrEqual(2 * limit);
          }
          expect(taken.length + queue.length + queue.lost + queue.coalesced).toBe(given.length);
          while (take());
          expect(taken.map((event) => event.order)).toEqual(
            taken.map((event) => event.order).sort((a, b) => a - b),
          );
          // The latest event of the voice that spoke last is never given up.
          const last = given.findLast((event) => event.expendable);
          if (last !== undefined) expect(taken).toContain(last);
          const lastEssential = given.findLast((event) => !event.expendable);
          if (lastEssential !== undefined) expect(taken).toContain(lastEssential);
        },
      ),
    );
  });

  test("of 4 keeps the latest of each of 3 voices before it loses one, of 2 it must lose", () => {
    const factory = new EventFactory();
    const queues = [new EventQueue(4), new EventQueue(2)];
    for (let i = 0; i < 9; i++) {
      const event = emotion(factory, { ...ADA, participantId: `p${i % 3}` }, i);
      for (const queue of queues) queue.push(new PublishedEvent(event, i));
    }
    expect(queues.map(({ lost }) => lost)).toEqual([0, expect.any(Number)]);
    expect(queues[0]?.coalesced).toBeGreaterThan(0);
    expect(queues[1]?.lost).toBeGreaterThan(0);
    const order = [];
    for (let next = queues[0]?.shift(); next !== undefined; next = queues[0]?.shift()) order.push(next.order);
    expect(order.slice(-3)).toEqual([6, 7, 8]);
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
        expect(published.wire("json")).toBe(taken[0]?.[i]?.wire("json"));
      });
    }
  });

  test("keeps 4 emotion events of a subscriber who takes none, and tells of the 6 that later ones replaced", () => {
    const { hub, factory } = talk();
    const slow = hub.subscribe({ queueLimit: 4, snapshot: false }, quiet);
    for (let i = 0; i < 10; i++) hub.publish(emotion(factory, ADA, i));
    expect(slow.dropped).toBe(6);
    expect(slow.takeGap()).toEqual({ reason: "coalesced", dropped: 6 });
    expect(slow.takeGap()).toBeUndefined();
    expect(drain(slow).map(({ event }) => event.type === "tonetap.emotion" && event.data.index)).toEqual([
      6, 7, 8, 9,
    ]);
    expect(slow.sequence).toBe(10);
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

describe("a subscriber that comes back", () => {
  const published = (hub: EventHub, ids: string[]): void => {
    hub.events$.subscribe(({ id }) => ids.push(id));
  };
  const LIMITS = { maxAgeMs: 60_000, maxBytes: 1 << 20 };

  test("at any of 200 positions gets exactly what came after it and passes its filter", () => {
    const factory = new EventFactory();
    const hub = new EventHub({ epoch: factory.epoch });
    const ids: string[] = [];
    published(hub, ids);
    for (let i = 0; i < 200; i++) {
      hub.publish(emotion(factory, { ...ADA, callId: `c${i % 3}` }, i));
    }
    for (let i = -1; i < 200; i++) {
      const after = ids[i] ?? `${factory.epoch}-`;
      const { subscription, beginning } = hub.begin({ after, filter: { calls: ["c1"] } }, quiet);
      const expected = ids.slice(i + 1).filter((_, at) => (at + i + 1) % 3 === 1);
      expect(beginning).toEqual({ snapshot: 0, replay: expected.length, gap: undefined });
      expect(drain(subscription).map(({ event }) => event.id)).toEqual(expected);
      expect(subscription.sequence).toBe(expected.length);
      subscription.close();
    }
  });

  test("after 61 s, or 1 MiB, or to a hub that keeps nothing, is told of a gap and gets a snapshot", () => {
    const clock = new ManualClock();
    const factory = new EventFactory({ clock });
    const start = (replay: typeof LIMITS): EventHub => {
      const hub = new EventHub({ epoch: factory.epoch, clock, replay });
      hub.publish(factory.create("call.started", { callId: ADA.callId }));
      return hub;
    };
    const old = start(LIMITS);
    const { position } = old;
    old.publish(factory.create("participant.joined", joinedOf(ADA)));
    expect(old.begin({ after: position }, quiet).beginning).toMatchObject({ replay: 1, gap: undefined });
    clock.advance(67_000);
    expect(old.begin({ after: position }, quiet).beginning).toEqual({
      snapshot: 2,
      replay: 0,
      gap: { reason: "expired" },
    });
    expect(old.begin({ after: old.position }, quiet).beginning).toMatchObject({ replay: 0, gap: undefined });

    const full = start({ ...LIMITS, maxBytes: 10_000 });
    const before = full.position;
    for (let i = 0; i < 30; i++) full.publish(emotion(factory, ADA, i));
    expect(full.begin({ after: before }, quiet).beginning.gap).toEqual({ reason: "expired" });

    const none = start({ ...LIMITS, maxAgeMs: 0 });
    const first = none.position;
    none.publish(factory.create("participant.joined", joinedOf(ADA)));
    expect(none.begin({ after: first }, quiet).beginning.gap).toEqual({ reason: "expired" });
    expect(none.begin({ after: none.position }, quiet).beginning.gap).toBeUndefined();
  });

  test("after a restart gets the new run whole; of the old one a gap, unless its end position says it had all", async () => {
    const clock = new ManualClock();
    const before = new EventFactory({ clock });
    const old = new EventHub({ epoch: before.epoch, clock });
    old.publish(before.create("call.started", { callId: "old" }));
    const { position, endPosition } = old;
    await old.close();
    clock.advance(2000);
    const factory = new EventFactory({ clock });
    const hub = new EventHub({ epoch: factory.epoch, clock });
    for (let i = 0; i < 3; i++) hub.publish(factory.create("call.started", { callId: `new ${i}` }));
    expect(hub.begin({ after: position }, quiet).beginning).toEqual({
      snapshot: 0,
      replay: 3,
      gap: { reason: "restart" },
    });
    expect(hub.begin({ after: endPosition }, quiet).beginning).toEqual({
      snapshot: 0,
      replay: 3,
      gap: undefined,
    });
    // A run that has lost its beginning cannot be had whole: its snapshot follows the gap.
    clock.advance(67_000);
    expect(hub.begin({ after: endPosition }, quiet).beginning).toEqual({
      snapshot: 3,
      replay: 0,
      gap: { reason: "expired" },
    });
  });

  test("is not told what a voice expressed whose consent was withdrawn meanwhile: 2 of 5 events", () => {
    const factory = new EventFactory();
    const hub = new EventHub({ epoch: factory.epoch });
    const { position } = hub;
    hub.publish(factory.create("participant.joined", joinedOf(ADA)));
    for (let i = 0; i < 2; i++) hub.publish(emotion(factory, ADA, i));
    hub.publish(emotion(factory, BOB, 0));
    hub.publish(factory.create("participant.paused", { ...ADA, reason: "consent-withdrawn" }));
    const { subscription } = hub.begin({ after: position }, quiet);
    expect(drain(subscription).map(({ event }) => `${kindOf(event)} ${event.subject.split("/")[3]}`)).toEqual(
      ["participant.joined ada", "emotion bob", "participant.paused ada"],
    );
  });

  test("sees what it may see and no more, replayed, in the snapshot and live: 1 event of 2 each time", () => {
    const factory = new EventFactory();
    const hub = new EventHub({ epoch: factory.epoch });
    const { position } = hub;
    const sees = (event: TonetapEvent): boolean => "callId" in event.data && event.data.callId === "mine";
    const both = (kind: "call.started" | "call.failed"): void => {
      for (const callId of ["mine", "theirs"]) {
        const error = eventExamples()["call.failed"].data.error;
        hub.publish(
          kind === "call.started"
            ? factory.create(kind, { callId })
            : factory.create(kind, { callId, error }),
        );
      }
    };
    both("call.started");
    for (const after of [position, undefined]) {
      const { subscription } = hub.begin({ sees, ...(after === undefined ? {} : { after }) }, quiet);
      both("call.failed");
      expect(drain(subscription).map(({ event }) => event.subject)).toEqual(
        after === undefined ? ["calls/mine", "calls/mine"] : ["calls/mine", "calls/mine"],
      );
      subscription.close();
    }
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
