/** A mediasoup room and an engine that listens to it: who joins, who leaves, and what happens to the producers between. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import type { TonetapError } from "../../../src/core/errors.ts";
import type { Engine } from "../../../src/engine.ts";
import type { EventOf } from "../../../src/events/index.ts";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import {
  attachProducer,
  attachRouter,
  type MediasoupProducer,
  type RouterTap,
  type RouterTapOptions,
} from "../../../src/transport/mediasoup/index.ts";
import { openEngine, type Recorder, recordedFrames, upTo } from "../../engine/support.ts";
import { eventually } from "../../transport/loopback.ts";
import type * as Rooms from "./room.ts";
import { hasMediasoup } from "./setup.ts";

type CallEvent =
  | "call.ended"
  | "call.failed"
  | "participant.joined"
  | "participant.left"
  | "speech.started"
  | "speech.ended"
  | "emotion"
  | "quality";

describe.skipIf(!hasMediasoup())("an engine that listens to a mediasoup room", { concurrent: true }, () => {
  let rooms: typeof Rooms;
  let engine: Engine;
  let seen: Recorder;
  let anna: RtpPayload[];
  let ben: RtpPayload[];
  beforeAll(async () => {
    // mediasoup may not be installed: it is loaded only where the tests run.
    rooms = await import("./room.ts");
    ({ engine, seen } = await openEngine());
    anna = await recordedFrames("anna");
    ben = await recordedFrames("ben");
  });
  afterAll(async () => {
    // Every test has left: closing the engine ends nobody.
    const ended = seen.of("participant.left").length;
    expect(seen.of("participant.joined").length).toBe(ended);
    await engine.close();
    expect(seen.of("participant.left").length).toBe(ended);
  });

  const nameOf = ({ appData }: MediasoupProducer): string => String(appData.name);
  const follow = (room: Rooms.Room, callId: string, options: Partial<RouterTapOptions> = {}): RouterTap =>
    attachRouter(engine, room.router, {
      participantOf: (producer) => ({ callId, participantId: nameOf(producer), consent: "granted" }),
      graceMs: 0,
      ...options,
    });
  const of = <K extends CallEvent>(callId: string, kind: K, id?: string): EventOf<K>[] =>
    seen.of(kind, id).filter(({ data }) => data.callId === callId);

  /** What a room has left, once it is this, or in the end. expect.poll() does not know which of concurrent tests it is in. */
  const leftIn = async (room: Rooms.Room, wanted: Partial<Awaited<ReturnType<Rooms.Room["left"]>>>) => {
    for (let tries = 0; tries < 600; tries++) {
      const left = await room.left();
      if (Object.entries(wanted).every(([name, count]) => left[name as keyof typeof left] === count))
        return left;
      await sleep(systemClock, 50);
    }
    return room.left();
  };

  test("7 s of speech through a producer become events on the sender's clock, 0 packets lost", async () => {
    await using room = await rooms.Room.open();
    const { producer, sender } = await room.speaker("anna");
    const info = { callId: "single", participantId: "anna", consent: "granted" } as const;
    const participant = await attachProducer(engine, room.router, producer, info);
    expect(participant.source.kind).toBe("mediasoup");

    const startedAt = Date.now();
    await sender.play(upTo(anna, 7_000));
    producer.close();
    await participant.ended;

    const emotions = of("single", "emotion", "anna");
    expect(emotions.length).toBeGreaterThanOrEqual(5);
    for (const { data } of emotions) expect(data.wall.source).toBe("ntp");
    // The sender's reports are late on a busy machine, and never early: the quickest says how right the time is.
    const lagsMs = emotions.map(({ data }) => Date.parse(data.wall.end) - startedAt - data.media.endMs);
    expect(Math.abs(Math.min(...lagsMs))).toBeLessThan(500);
    const [left] = of("single", "participant.left");
    expect(left?.data.reason).toBe("left");
    for (const { data } of of("single", "quality"))
      expect(data.packets).toMatchObject({ lost: 0, late: 0, ignored: 0 });
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
  });

  test("2 people come and 1 goes: the other stays, and hears nothing of it", async () => {
    await using room = await rooms.Room.open();
    await using tap = follow(room, "room");
    const [first, second] = [await room.speaker("anna"), await room.speaker("ben")];
    await eventually(() => of("room", "participant.joined").length === 2);

    const speaking = first.sender.play(upTo(anna, 6_000));
    await second.sender.play(upTo(ben, 2_000));
    second.transport.close();
    await eventually(() => of("room", "participant.left", "ben").length === 1);
    expect(tap.participants).toBe(1);
    expect(await room.left()).toEqual({ transports: 2, consumers: 1 });
    await speaking;
    first.producer.close();
    await eventually(() => of("room", "participant.left", "anna").length === 1);

    expect(of("room", "emotion", "anna").length).toBeGreaterThanOrEqual(5);
    expect(of("room", "participant.left").map(({ data }) => data.reason)).toEqual(["left", "left"]);
    expect(tap.participants).toBe(0);
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
  });

  test("a pause amid words ends the talk-spurt and not the participant: 2 or more events come after it", async () => {
    await using room = await rooms.Room.open();
    await using _ = follow(room, "pause");
    const { producer, sender } = await room.speaker("anna");
    await eventually(() => of("pause", "participant.joined").length === 1);
    const speech = (kind: "speech.started" | "speech.ended") => of("pause", kind).length;

    // Anna speaks from 0.5 s to 2.5 s: the pause falls into her words.
    const speaking = sender.play(upTo(anna, 8_000));
    await eventually(() => speech("speech.started") === 1);
    await producer.pause();
    await eventually(() => speech("speech.ended") === 1);
    const before = of("pause", "emotion", "anna").length;
    const resumesAt = Date.now();
    await producer.resume();
    await speaking;
    producer.close();
    await eventually(() => of("pause", "participant.left").length === 1);

    const after = of("pause", "emotion", "anna").slice(before);
    expect(after.length).toBeGreaterThanOrEqual(2);
    // Media time went on during the pause.
    for (const { data } of after) expect(Date.parse(data.wall.end)).toBeGreaterThan(resumesAt - 500);
    expect(of("pause", "participant.joined").length).toBe(1);
  });

  test("a producer replaced 3 times, before, after and beside the older one's end, stays 1 participant", async () => {
    await using room = await rooms.Room.open();
    const { errors, onError } = failures();
    await using tap = follow(room, "replace", { graceMs: 1_000, onError });
    const first = await room.speaker("anna");
    await eventually(() => of("replace", "participant.joined").length === 1);
    const windows = () => of("replace", "emotion", "anna").length;
    const speak = async ({ sender }: Rooms.Speaker): Promise<void> => {
      const before = windows();
      await sender.play(upTo(anna, 3_000));
      await eventually(() => windows() > before);
    };

    await speak(first);
    // The newer one comes before the older one goes, as when a client changes its microphone with care.
    const second = await room.speaker("anna");
    await speak(second);
    first.producer.close();
    await speak(second);
    // It goes before the next one comes: within the grace time nobody leaves.
    second.producer.close();
    expect(tap.participants).toBe(1);
    const third = await room.speaker("anna");
    await speak(third);
    // The newest goes while an older one is open: that one takes back.
    const fourth = await room.speaker("anna");
    await speak(fourth);
    fourth.producer.close();
    await speak(third);
    expect(of("replace", "participant.left").length).toBe(0);
    third.producer.close();
    await eventually(() => of("replace", "participant.left").length === 1);

    expect(of("replace", "participant.joined").length).toBe(1);
    expect(errors).toEqual([]);
    expect(tap.participants).toBe(0);
    expect(await leftIn(room, { consumers: 0 })).toMatchObject({ consumers: 0 });
  });

  test("50 producers that come and go at random within 1 s leave 0 participants, consumers and transports", async () => {
    await using room = await rooms.Room.open();
    const { errors, onError } = failures();
    await using tap = follow(room, "storm", { onError });
    const { transport } = await room.speaker("door");
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const producer = await rooms.produce(transport, `guest-${i % 10}`, 1_000 + i);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 500));
        producer.close();
      }),
    );
    await eventually(() => tap.participants === 1);

    expect(errors).toEqual([]);
    // The door's own producer is a participant too.
    const wanted = { transports: 2, consumers: 1 };
    expect(await leftIn(room, wanted)).toEqual(wanted);
    await eventually(
      () => of("storm", "participant.joined").length === of("storm", "participant.left").length + 1,
    );
    await tap.close();
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
    expect(room.router.observer.listenerCount("newtransport")).toBe(0);
    expect(transport.observer.listenerCount("newproducer")).toBe(0);
  });

  test("when the router closes, 2 participants leave, and with them the tap", async () => {
    await using room = await rooms.Room.open();
    const tap = follow(room, "router", { graceMs: 60_000 });
    await room.speaker("anna");
    await room.speaker("ben");
    await eventually(() => of("router", "participant.joined").length === 2);

    room.router.close();
    await eventually(() => of("router", "participant.left").length === 2);

    expect(of("router", "participant.left").map(({ data }) => data.reason)).toEqual(["left", "left"]);
    expect(of("router", "call.ended").map(({ data }) => data.reason)).toEqual(["empty"]);
    expect(tap.participants).toBe(0);
    expect(room.router.observer.listenerCount("newtransport")).toBe(0);
  });

  test.each(["dies", "is closed"])(
    "when the worker %s in mid-call, 2 participants leave as failed, 1 call.failed says why, and nothing stays",
    // Talk in real time: not beside the others.
    { concurrent: false },
    async (how) => {
      const callId = `worker ${how}`;
      await using room = await rooms.Room.open();
      const errors: TonetapError[] = [];
      const tap = follow(room, callId, { graceMs: 60_000, onError: (error) => errors.push(error) });
      const { sender } = await room.speaker("anna");
      await room.speaker("ben");
      await eventually(() => of(callId, "participant.joined").length === 2);
      const talk = sender.play(upTo(anna, 3_000));
      await eventually(() => of(callId, "emotion", "anna").length >= 1);

      if (how === "dies") process.kill(room.worker.pid, "SIGKILL");
      else room.worker.close();
      await eventually(() => of(callId, "call.ended").length === 1);
      await talk;

      const why = { code: "unavailable", message: "the mediasoup worker has gone", retryable: true };
      const left = of(callId, "participant.left");
      expect(left.map(({ data }) => data.participantId).toSorted()).toEqual(["anna", "ben"]);
      for (const { data } of left) expect(data).toMatchObject({ reason: "failed", error: why });
      expect(of(callId, "call.failed").map(({ data }) => data.error)).toEqual([why]);
      expect(of(callId, "call.ended")[0]?.data.reason).toBe("failed");
      expect(tap.participants).toBe(0);
      expect(errors).toEqual([]);
      expect(room.router.listenerCount("workerclose")).toBe(0);
      expect(room.router.observer.listenerCount("newtransport")).toBe(0);
      expect(room.worker.died).toBe(how === "dies");
    },
  );

  test(
    "when the worker dies, a participant of the same call that another worker has goes on: 0 call.failed",
    {
      concurrent: false,
    },
    async () => {
      await using room = await rooms.Room.open();
      await using other = await rooms.Room.open();
      follow(room, "two workers");
      await using _ = follow(other, "two workers");
      await room.speaker("anna");
      const { sender } = await other.speaker("ben");
      await eventually(() => of("two workers", "participant.joined").length === 2);

      process.kill(room.worker.pid, "SIGKILL");
      await eventually(() => of("two workers", "participant.left", "anna").length === 1);
      await sender.play(upTo(anna, 3_000));
      await eventually(() => of("two workers", "emotion", "ben").length >= 1);

      expect(of("two workers", "call.failed")).toEqual([]);
      expect(of("two workers", "participant.left", "ben")).toEqual([]);
    },
  );

  test("1 who is refused by policy is reported; 1 who is not, and 1 who is left alone, are as if nothing were", async () => {
    await using room = await rooms.Room.open();
    const { errors, onError } = failures();
    const roles = new Map([["anna", "customer"] as const, ["ben", "agent"] as const]);
    await using _ = follow(room, "policy", {
      onError,
      participantOf: (producer) => {
        const role = roles.get(nameOf(producer) as "anna" | "ben");
        return role && { callId: "policy", participantId: nameOf(producer), role };
      },
    });

    for (const name of ["ben", "music", "anna"]) await room.speaker(name);
    await eventually(() => of("policy", "participant.joined", "anna").length === 1);
    await eventually(() => errors.length === 1);

    expect(errors.map(({ code }) => code)).toEqual(["policy"]);
    expect(of("policy", "participant.joined").length).toBe(1);
    expect(await room.left()).toEqual({ transports: 4, consumers: 1 });
  });

  test("a participant that its owner detached stays detached: 1 join, and its producer goes on", async () => {
    await using room = await rooms.Room.open();
    await using _ = follow(room, "detach");
    const { producer, sender } = await room.speaker("anna");
    await eventually(() => of("detach", "participant.joined").length === 1);

    await engine.participant("detach", "anna").close();
    await sender.play(upTo(anna, 500));

    expect(of("detach", "participant.joined").length).toBe(1);
    expect(producer.closed).toBe(false);
    expect(await room.left()).toEqual({ transports: 1, consumers: 0 });
  });

  function failures(): { errors: TonetapError[]; onError: (error: TonetapError) => void } {
    const errors: TonetapError[] = [];
    return { errors, onError: (error) => errors.push(error) };
  }
});
