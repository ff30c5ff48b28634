/** Coming back over real sockets, with a count that proves it: websocket-session.ts, event-writer.ts. */
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { CLOSE_CODES, CONTROL_SCHEMAS } from "../../src/events/protocol.ts";
import { SubscriberGate } from "../../src/events/subscriber-gate.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ADA, breathe, emotion, joinedOf, Peer, startService, until } from "./support.ts";

const BOB = { ...ADA, callId: "c2", participantId: "bob" };

describe("a WebSocket subscriber", () => {
  test("cut off 5 times gets all 100 events once, in order, each time from the last id it saw", async () => {
    await using service = await startService();
    const sent: string[] = [];
    const got: string[] = [];
    let after = "";
    for (let round = 0; round < 5; round++) {
      const peer = await Peer.open(service, after === "" ? "" : `?after=${after}`);
      for (let i = 0; i < 10; i++) {
        const event = emotion(service.factory, ADA, i);
        sent.push(event.id);
        service.hub.publish(event);
      }
      await until(() => peer.events.length >= 10);
      const half = peer.events.slice(0, peer.events.length - 3).map(({ id }) => id);
      got.push(...half);
      after = half.at(-1) ?? "";
      peer.socket.terminate();
      for (let i = 0; i < 10; i++) {
        const event = emotion(service.factory, ADA, i);
        sent.push(event.id);
        service.hub.publish(event);
      }
    }
    const last = await Peer.open(service, `?after=${after}`);
    const hello = await last.heard("hello");
    expect(CONTROL_SCHEMAS.hello.parse(hello)).toEqual(hello);
    await until(() => last.events.length === hello.replay);
    expect([...got, ...last.events.map(({ id }) => id)]).toEqual(sent);
    expect(last.control.filter(({ type }) => type === "gap")).toEqual([]);
    await last.close();
  });

  test("of a quiet filter gets 1 bookmark 5 s after other events, with a count that is its own", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock });
    const peer = await Peer.open(service, "?call=c2");
    service.hub.publish(emotion(service.factory, BOB, 0));
    await until(() => peer.events.length === 1);
    service.hub.publish(emotion(service.factory, ADA, 0));
    for (let second = 0; second < 12; second++) clock.advance(1000);
    const bookmark = await peer.heard("bookmark");
    expect(CONTROL_SCHEMAS.bookmark.parse(bookmark)).toEqual({
      type: "bookmark",
      position: service.hub.position,
      sequence: 1,
    });
    await breathe();
    expect(peer.control.filter(({ type }) => type === "bookmark")).toHaveLength(1);
    await peer.close();
  });

  test("counts 6,000 events with the service: those it got and those that gaps tell, of 2 reasons", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock, highWaterBytes: 1024, queueLimit: 16 });
    const peer = await Peer.open(service);
    peer.socket.pause();
    for (let i = 0; i < 6000; i++) {
      service.hub.publish(
        i % 3 === 0
          ? service.factory.create("call.started", { callId: `${i}` })
          : emotion(service.factory, ADA, i),
      );
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    peer.socket.resume();
    const missed = () => peer.control.reduce((sum, m) => sum + (m.type === "gap" ? (m.dropped ?? 0) : 0), 0);
    await until(() => peer.events.length + missed() === 6000);
    const gaps = peer.control.flatMap((message) => (message.type === "gap" ? [message] : []));
    for (const gap of gaps) expect(CONTROL_SCHEMAS.gap.parse(gap)).toEqual(gap);
    expect(new Set(gaps.map(({ reason }) => reason))).toEqual(new Set(["slow", "coalesced"]));
    service.hub.publish(service.factory.create("call.started", { callId: "last" }));
    await until(() => peer.events.length + missed() === 6001);
    await service.hub.close();
    void service.sockets.close();
    expect((await peer.heard("end")).sequence).toBe(6001);
    await until(() => peer.closeCode === CLOSE_CODES.goingAway);
  });

  test("is told everything that waits before goodbye: 500 events, then end, then 1001", async () => {
    const service = await startService({ highWaterBytes: 1024 });
    const peer = await Peer.open(service);
    for (let i = 0; i < 500; i++) service.hub.publish(emotion(service.factory, ADA, i));
    await service.hub.close();
    await service.sockets.close();
    await until(() => peer.closeCode !== undefined);
    expect(peer.events).toHaveLength(500);
    expect(peer.control.at(-1)).toEqual({ type: "end", position: service.hub.endPosition, sequence: 500 });
    expect(peer.closeCode).toBe(CLOSE_CODES.goingAway);
    await service[Symbol.asyncDispose]();
  });

  test("whose place only is closed is not told that this was all", async () => {
    const service = await startService();
    const peer = await Peer.open(service);
    await service.sockets.close();
    await until(() => peer.closeCode !== undefined);
    expect(peer.control.map(({ type }) => type)).toEqual(["hello"]);
    await service[Symbol.asyncDispose]();
  });
});

describe("the gate", () => {
  test("asks who comes: 1 of 3 is refused, 1 sees its own call alone, and 1 who goes meanwhile leaves no place taken", async () => {
    const waiting: (() => void)[] = [];
    const gate = new SubscriberGate({
      authorize: async ({ headers, query }) => {
        const key = headers.authorization ?? query.get("key");
        query.delete("key");
        if (key === "slow") await new Promise<void>((resolve) => waiting.push(resolve));
        if (key !== "ada" && key !== "slow") throw new TonetapError("policy", "this key is not known here");
        return { sees: ({ data }) => "callId" in data && data.callId === ADA.callId };
      },
    });
    await using service = await startService({ gate });
    for (const speaker of [ADA, BOB]) {
      service.hub.publish(service.factory.create("call.started", { callId: speaker.callId }));
      service.hub.publish(service.factory.create("participant.joined", joinedOf(speaker)));
    }
    const stranger = new Peer(service, "?key=eve");
    const refused = new Promise<number>((resolve) => {
      stranger.socket.on("unexpected-response", (_request, { statusCode = 0 }) => resolve(statusCode));
    });
    expect(await refused).toBe(403);
    const ada = await Peer.open(service, "?kinds=call.started,emotion", {
      headers: { authorization: "ada" },
    });
    for (const speaker of [BOB, ADA]) service.hub.publish(emotion(service.factory, speaker, 0));
    await until(() => ada.events.length === 2);
    await breathe();
    expect(ada.events.map(({ subject }) => subject.split("/")[1])).toEqual(["c1", "c1"]);

    const slow = new Peer(service, "?key=slow");
    slow.socket.on("error", () => undefined);
    await until(() => waiting.length === 1);
    expect(gate.inside).toBe(2);
    slow.socket.terminate();
    await breathe();
    waiting[0]?.();
    await until(() => gate.inside === 1);
    await ada.close();
    await until(() => gate.inside === 0);
  });
});
