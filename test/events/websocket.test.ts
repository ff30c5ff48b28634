/** Subscribers over real sockets: websocket-server.ts and websocket-session.ts. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { CLOSE_CODES, CONTROL_SCHEMAS } from "../../src/events/protocol.ts";
import { kindOf, tonetapEventSchema } from "../../src/events/schema.ts";
import { SubscriberGate } from "../../src/events/subscriber-gate.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ADA, breathe, type EventService, emotion, joinedOf, Peer, startService, until } from "./support.ts";

const BOB = { ...ADA, callId: "c2", participantId: "bob" };

/** Two calls with one participant each: 4 events. */
function fill({ hub, factory }: EventService): void {
  for (const speaker of [ADA, BOB]) {
    hub.publish(factory.create("call.started", { callId: speaker.callId }));
    hub.publish(factory.create("participant.joined", joinedOf(speaker)));
  }
}

/** A subscriber that does the handshake and then never reads a byte. */
async function deafPeer({ url }: EventService): Promise<Socket> {
  const socket = connectTcp(Number(url.port), url.hostname);
  await once(socket, "connect");
  socket.write(
    `GET /v1/events HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  socket.pause();
  return socket;
}

async function refusal(service: EventService, query: string, headers: Record<string, string> = {}) {
  const peer = new Peer(service, query, { headers });
  const [, response] = await once(peer.socket, "unexpected-response");
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode as number, headers: response.headers, problem: JSON.parse(body) };
}

describe("a subscriber", () => {
  test("gets hello, a snapshot of 4 events, then live events, all of them valid", async () => {
    await using service = await startService();
    fill(service);
    const peer = await Peer.open(service);
    service.hub.publish(emotion(service.factory, ADA, 0));
    await until(() => peer.events.length === 5);
    const hello = await peer.heard("hello");
    expect(CONTROL_SCHEMAS.hello.parse(hello)).toEqual(hello);
    expect(hello.snapshot).toBe(4);
    expect(peer.frames[0]).toBe("hello");
    for (const event of peer.events) expect(tonetapEventSchema.parse(event)).toEqual(event);
    expect(peer.events.map((event) => event.id)).toEqual(peer.events.map((event) => event.id).sort());
    await peer.close();
    await until(() => service.hub.stats.subscribers === 0);
  });

  test("gets what its query asks for: 4 filters side by side", async () => {
    await using service = await startService();
    fill(service);
    const queries = ["?call=c1", "?participant=bob", "?kinds=emotion", "?call=c2&kinds=emotion,call.started"];
    const peers = await Promise.all(queries.map((query) => Peer.open(service, query)));
    for (const speaker of [ADA, BOB]) service.hub.publish(emotion(service.factory, speaker, 0));
    const got = (peer: Peer) => peer.events.map((event) => `${kindOf(event)} ${event.subject.split("/")[1]}`);
    await until(() => peers.map((peer) => peer.events.length).join() === "3,2,2,2");
    await breathe();
    expect(peers.map(got)).toEqual([
      ["call.started c1", "participant.joined c1", "emotion c1"],
      ["participant.joined c2", "emotion c2"],
      ["emotion c1", "emotion c2"],
      ["call.started c2", "emotion c2"],
    ]);
    await Promise.all(peers.map((peer) => peer.close()));
  });

  test("changes its filter in flight: 1 subscribed, 2 snapshot events, then nothing of the old filter", async () => {
    await using service = await startService();
    fill(service);
    const peer = await Peer.open(service, "?call=c1");
    peer.say({ type: "subscribe", filter: { calls: ["c2"] } });
    const { filter, snapshot } = await peer.heard("subscribed");
    for (const speaker of [ADA, BOB]) service.hub.publish(emotion(service.factory, speaker, 0));
    await until(() => peer.events.length === 5);
    expect({ filter, snapshot }).toEqual({ filter: { calls: ["c2"] }, snapshot: 2 });
    const after = peer.frames.slice(peer.frames.indexOf("subscribed") + 1);
    expect(after).toHaveLength(3);
    expect(peer.events.slice(2).map((event) => event.subject.split("/")[1])).toEqual(["c2", "c2", "c2"]);
    await peer.close();
  });

  test("with subprotocol cloudevents.json gets 5 CloudEvents and not one control message", async () => {
    await using service = await startService();
    fill(service);
    const peer = await Peer.open(service, "", {}, ["cloudevents.json"]);
    peer.say("nonsense");
    service.hub.publish(emotion(service.factory, ADA, 0));
    await until(() => peer.events.length === 5 && service.sockets.stats.errors === 1);
    await breathe();
    expect(peer.socket.protocol).toBe("cloudevents.json");
    expect(peer.control).toEqual([]);
    await peer.close();
  });

  test("gets tonetap.v1 when it offers that and another one of 2", async () => {
    await using service = await startService();
    const peer = await Peer.open(service, "", {}, ["cloudevents.json", "tonetap.v1"]);
    expect(peer.socket.protocol).toBe("tonetap.v1");
    await peer.close();
  });

  test("is told goodbye with 1001 when the service stops, and the service waits for it", async () => {
    const service = await startService();
    const peers = await Promise.all([Peer.open(service), Peer.open(service)]);
    await service[Symbol.asyncDispose]();
    await until(() => peers.every((peer) => peer.closeCode !== undefined));
    expect(peers.map((peer) => peer.closeCode)).toEqual([1001, 1001]);
    expect(service.sockets.stats.subscribers).toBe(0);
  });
});

describe("200 subscribers", () => {
  test("get the same 50 events in the same order", async () => {
    await using service = await startService();
    const peers = await Promise.all(Array.from({ length: 200 }, () => Peer.open(service, "?kinds=emotion")));
    const sent: string[] = [];
    for (let i = 0; i < 50; i++) {
      const event = emotion(service.factory, ADA, i);
      sent.push(event.id);
      service.hub.publish(event);
    }
    await until(() => peers.every((peer) => peer.events.length >= 50));
    for (const peer of peers) expect(peer.events.map((event) => event.id)).toEqual(sent);
    expect(service.sockets.stats).toMatchObject({ subscribers: 200, dropped: 0 });
    await Promise.all(peers.map((peer) => peer.close()));
  });
});

describe("a client that talks nonsense", () => {
  test("gets an error for each of 7 messages, is closed with 1008 at the 8th, and disturbs nobody", async () => {
    await using service = await startService({ maxMessagesPerSecond: 1000 });
    const quiet = await Peer.open(service);
    const mad = await Peer.open(service);
    const nonsense = [
      "{",
      "null",
      "[]",
      '{"type":"subscribe"}',
      '{"type":"subscribe","filter":{"kinds":["mood"]}}',
      '{"type":"subscribe","filter":{},"more":1}',
      Buffer.of(1, 2, 3),
      `{"type":"${"x".repeat(5000)}"}`,
    ];
    for (const message of nonsense) mad.socket.send(message);
    await until(() => mad.closeCode !== undefined);
    expect(mad.closeCode).toBe(CLOSE_CODES.policy);
    const errors = mad.control.filter((message) => message.type === "error");
    expect(errors).toHaveLength(8);
    for (const error of errors) {
      expect(error.code).toBe("protocol");
      expect(error.message.length).toBeLessThan(400);
    }
    service.hub.publish(emotion(service.factory, ADA, 0));
    await until(() => quiet.events.length === 1);
    expect(service.sockets.stats).toMatchObject({ subscribers: 1, errors: 8, closedAbusive: 1 });
    await quiet.close();
  });

  test("stays when only 7 of every 8 messages are nonsense", async () => {
    await using service = await startService({ maxMessagesPerSecond: 1000 });
    const peer = await Peer.open(service);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 7; i++) peer.say("nonsense");
      peer.say({ type: "subscribe", filter: {} });
    }
    await peer.heard("subscribed", 3);
    expect(peer.closeCode).toBeUndefined();
    expect(service.sockets.stats.errors).toBe(21);
    await peer.close();
  });

  test("sends 11 messages in a second: 10 are heard, 1 is an overloaded error, the next second is free again", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock });
    const peer = await Peer.open(service);
    for (let i = 0; i < 11; i++) peer.say({ type: "subscribe", filter: {} });
    expect((await peer.heard("error")).code).toBe("overloaded");
    expect(peer.control.filter((message) => message.type === "subscribed")).toHaveLength(10);
    clock.advance(1000);
    peer.say({ type: "subscribe", filter: {} });
    await peer.heard("subscribed", 11);
    await peer.close();
  });

  test("sends 8,193 bytes at once and is closed with 1009", async () => {
    await using service = await startService();
    const peer = await Peer.open(service);
    peer.say("x".repeat(8193));
    await until(() => peer.closeCode !== undefined);
    expect(peer.closeCode).toBe(CLOSE_CODES.tooBig);
    expect(service.sockets.stats.errors).toBe(1);
  });

  test("breaks WebSocket framing with 64 random bytes and is cut off alone", async () => {
    await using service = await startService();
    const quiet = await Peer.open(service);
    const wild = await deafPeer(service);
    wild.resume();
    await until(() => service.sockets.stats.subscribers === 2);
    wild.write(Buffer.alloc(64, 0xff));
    await until(() => service.sockets.stats.subscribers === 1);
    expect(service.sockets.stats.errors).toBe(1);
    expect(quiet.closeCode).toBeUndefined();
    await quiet.close();
  });
});

describe("a client that never reads", () => {
  test("costs bounded memory, is closed as slow after 10 s, while another gets all 12,000 events in order", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock });
    const reader = await Peer.open(service);
    const deaf = await deafPeer(service);
    await until(() => service.sockets.stats.subscribers === 2);
    const sent: string[] = [];
    while (sent.length < 12_000) {
      for (let i = 0; i < 50; i++) {
        const event = emotion(service.factory, ADA, sent.length);
        sent.push(event.id);
        service.hub.publish(event);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => reader.events.length >= 12_000);
    expect(reader.events.map((event) => event.id)).toEqual(sent);
    // The deaf one's socket is full by now, and its queue too: that is where events are lost.
    const { dropped } = service.hub.stats;
    expect(dropped).toBeGreaterThan(0);
    expect(dropped).toBeLessThan(12_000);

    for (let second = 0; second < 9; second++) clock.advance(1000);
    expect(service.sockets.stats.closedSlow).toBe(0);
    clock.advance(1000);
    expect(service.sockets.stats.closedSlow).toBe(1);
    clock.advance(2000);
    await until(() => service.sockets.stats.subscribers === 1);
    expect(service.sockets.stats.dropped).toBe(dropped);
    expect(reader.closeCode).toBeUndefined();
    deaf.destroy();
    await reader.close();
  });

  test("but asks on and on is closed as slow before 20 MB of answers pile up", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock, maxMessagesPerSecond: 1000 });
    const deaf = await deafPeer(service);
    await until(() => service.sockets.stats.subscribers === 1);
    const calls = Array.from({ length: 60 }, (_, i) => `${i}`.padEnd(120, "x"));
    const text = Buffer.from(JSON.stringify({ type: "subscribe", filter: { calls } }));
    // RFC 6455 §5.2: FIN and text; masked, 16-bit length; a mask of zeros changes nothing.
    const head = Buffer.from([0x81, 0xfe, text.length >> 8, text.length & 255, 0, 0, 0, 0]);
    const frame = Buffer.concat([head, text]);

    let asked = 0;
    for (; asked * frame.length < 20e6 && service.sockets.stats.closedSlow === 0; asked += 100) {
      for (let i = 0; i < 100; i++) deaf.write(frame);
      clock.advance(1000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }

    expect(service.sockets.stats).toMatchObject({ closedSlow: 1, closedAbusive: 0 });
    clock.advance(2000);
    await until(() => service.sockets.stats.subscribers === 0);
    deaf.destroy();
  });

  test("and then reads after all gets a gap that accounts for every one of 6,000 events, in order", async () => {
    await using service = await startService({ highWaterBytes: 1024, queueLimit: 16 });
    const peer = await Peer.open(service);
    peer.socket.pause();
    const before = service.hub.stats.published;
    while (service.hub.stats.published - before < 6000) {
      for (let i = 0; i < 50; i++) service.hub.publish(emotion(service.factory, ADA, i));
      await new Promise((resolve) => setImmediate(resolve));
    }
    peer.socket.resume();
    const missed = (): number =>
      peer.control.reduce((sum, message) => sum + (message.type === "gap" ? (message.dropped ?? 0) : 0), 0);
    await until(() => peer.events.length + missed() === 6000);
    expect(missed()).toBeGreaterThan(0);
    expect(service.sockets.stats.dropped).toBe(missed());
    const ids = peer.events.map((event) => event.id);
    expect(ids).toEqual([...ids].sort());
    await peer.close();
  });

  test("but sends 200,000 pings gets pongs for less than half of them: nothing piles up for it", async () => {
    await using service = await startService({ highWaterBytes: 1024 });
    const deaf = await deafPeer(service);
    await until(() => service.sockets.stats.subscribers === 1);
    const ping = Buffer.concat([Buffer.of(0x89, 0x80 | 125, 0, 0, 0, 0), Buffer.alloc(125)]);
    const thousand = Buffer.concat(Array.from({ length: 1000 }, () => ping));
    for (let i = 0; i < 200; i++) {
      if (!deaf.write(thousand)) await once(deaf, "drain");
    }
    let received = 0;
    deaf.on("data", (data) => {
      received += data.length;
    });
    deaf.resume();
    for (let last = -1; last !== received; await breathe(100)) last = received;
    const pongBytes = 127;
    expect(received).toBeGreaterThan(1000 * pongBytes);
    expect(received).toBeLessThan(100_000 * pongBytes);
    deaf.destroy();
    await until(() => service.sockets.stats.subscribers === 0);
  });
});

describe("a dead peer", () => {
  test("that does not answer a ping is cut off after 25 s, while one that answers stays", async () => {
    const clock = new ManualClock();
    await using service = await startService({ clock });
    const dead = await Peer.open(service, "", { autoPong: false });
    const alive = await Peer.open(service);
    let pings = 0;
    for (const peer of [dead, alive]) peer.socket.on("ping", () => pings++);
    clock.advance(15_000);
    await until(() => pings === 2);
    await breathe();
    clock.advance(9_000);
    expect(service.sockets.stats.closedDead).toBe(0);
    clock.advance(1_000);
    await until(() => dead.closeCode !== undefined);
    expect(dead.closeCode).toBe(1006);
    expect(service.sockets.stats).toMatchObject({ closedDead: 1, subscribers: 1 });
    expect(alive.closeCode).toBeUndefined();
    await alive.close();
  });
});

describe("the door", () => {
  test("refuses pages of 4 other origins and lets in its own, an allowed one, and programs without Origin", async () => {
    await using service = await startService({ allowedOrigins: ["https://desk.example"] });
    const own = service.url.origin;
    const others = [
      "http://evil.example",
      "null",
      own.replace(service.url.port, "1"),
      own.replace("127.0.0.1", "localhost"),
    ];
    for (const origin of others) {
      const { status, problem } = await refusal(service, "", { origin });
      expect({ origin, status }).toEqual({ origin, status: 403 });
      expect(problem).toMatchObject({ code: "policy", status: 403 });
    }
    for (const headers of [{ origin: own }, { origin: "https://desk.example" }, {}]) {
      const peer = await Peer.open(service, "", { headers });
      await peer.close();
    }
    expect(service.sockets.stats).toMatchObject({ refused: 4, accepted: 3 });
  });

  test("refuses a name that was made to point at 127.0.0.1 even when Origin and Host agree, unless it is allowed", async () => {
    await using service = await startService({ allowedHosts: ["tonetap.example"] });
    const rebound = { host: "evil.example", origin: "http://evil.example" };
    expect((await refusal(service, "", rebound)).status).toBe(403);
    for (const host of ["localhost", "localhost:80", "[::1]:8080", "127.0.0.1", "tonetap.example:443"]) {
      const peer = await Peer.open(service, "", { headers: { host } });
      await peer.close();
    }
  });

  test("answers a filter it does not understand with 400 and a problem document", async () => {
    await using service = await startService();
    const { status, headers, problem } = await refusal(service, "?kinds=mood");
    expect(status).toBe(400);
    expect(headers["content-type"]).toBe("application/problem+json");
    expect(problem.detail).toMatch(/^filter: kinds/);
  });

  test("has 2 places: the third subscriber gets 503 with retry-after, and a place again when one leaves", async () => {
    await using service = await startService({ gate: new SubscriberGate({ maxSubscribers: 2 }) });
    const [first, second] = await Promise.all([Peer.open(service), Peer.open(service)]);
    const { status, headers } = await refusal(service, "");
    expect(status).toBe(503);
    expect(headers["retry-after"]).toBe("5");
    await first.close();
    await until(() => service.sockets.stats.subscribers === 1);
    const third = await Peer.open(service);
    await Promise.all([second.close(), third.close()]);
  });

  test("answers upgrades of another path and of 2 crooked targets without falling over", async () => {
    await using service = await startService();
    for (const [path, status] of [
      ["/v2/events", 404],
      ["//", 404],
      ["http://[", 400],
    ] as const) {
      const socket = connectTcp(Number(service.url.port), service.url.hostname);
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${service.url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      );
      const [data] = await once(socket, "data");
      expect(String(data)).toMatch(`HTTP/1.1 ${status} `);
      socket.destroy();
    }
    const peer = await Peer.open(service);
    await peer.close();
  });

  test("refuses 2 options out of range, naming option, range and value", async () => {
    for (const [options, text] of [
      [{ maxErrors: 0 }, "maxErrors must be 1–100, got 0"],
      [{ queueLimit: 70_000 }, "queueLimit must be 1–65536, got 70000"],
    ] as const) {
      await expect(startService(options)).rejects.toThrow(text);
    }
    expect(() => new SubscriberGate({ maxSubscribers: 0 })).toThrow("maxSubscribers must be 1–100000, got 0");
  });
});
