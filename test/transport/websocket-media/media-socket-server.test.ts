import { createServer } from "node:http";
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { type MediaSocketOptions, MediaSocketServer } from "../../../src/transport/websocket-media/index.ts";
import { jitsiDialect } from "../../../src/transport/websocket-media/jitsi-dialect.ts";
import {
  MediaConnection,
  type MediaSocket,
} from "../../../src/transport/websocket-media/media-connection.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { startMedia, trackMedia, twilio } from "./support.ts";

const TWILIO = "/v1/media/twilio";
const JITSI = "/v1/media/jitsi";
const frame = new Uint8Array(160).fill(0xff);

describe("a media server", () => {
  test("lets 1 of 4 tokens in: by header, query, X-API-KEY and, on Media Streams, custom parameter", async () => {
    const asked: (string | undefined)[] = [];
    await using service = await startMedia({
      authorize: async (token) => {
        asked.push(token);
        await Promise.resolve();
        return token === "right";
      },
    });
    const headers = (authorization: string) => ({ headers: { authorization } });

    await expect(service.peer(JITSI)).rejects.toThrow("401");
    await expect(service.peer(JITSI, headers("Bearer wrong"))).rejects.toThrow("401");
    await expect(service.peer(`${TWILIO}?token=wrong`)).rejects.toThrow("401");
    await service.peer(JITSI, headers("Bearer right"));
    await service.peer(`${JITSI}?token=right`);
    await service.peer("/v1/media/audiohook", { headers: { "x-api-key": "right" } });
    const late = await service.peer(TWILIO);
    late.send(twilio.start({ token: "right" }), ...trackMedia("inbound", [frame]));
    const [voice] = await service.arrived(1);
    const wrong = await service.peer(TWILIO);
    wrong.send(twilio.start({ token: "wrong" }), ...trackMedia("inbound", [frame]));
    const none = await service.peer(TWILIO);
    none.send(twilio.start());

    const refusal = { code: 1008, reason: "a valid token is needed: custom parameter token" };
    expect(await wrong.closed).toEqual(refusal);
    expect(await none.closed).toEqual(refusal);
    expect(service.voices).toHaveLength(1);
    expect(asked).toEqual([
      undefined,
      "wrong",
      "wrong",
      "right",
      "right",
      "right",
      "right",
      "wrong",
      undefined,
    ]);
    late.send(twilio.stop);
    await voice?.heard.completed;
    expect(voice?.heard.stats.received).toBe(1);
  });

  test("the 3rd of 2 connections gets 503, and a place when one has gone", async () => {
    await using service = await startMedia({ maxConnections: 2 });
    const first = await service.peer(JITSI);
    await service.peer(TWILIO);

    await expect(service.peer(TWILIO)).rejects.toThrow("503");
    first.socket.close();
    while (service.media.stats.connections > 1) await new Promise((resolve) => setImmediate(resolve));
    const third = await service.peer(TWILIO);

    expect(third.socket.readyState).toBe(third.socket.OPEN);
    expect(service.media.stats).toMatchObject({ accepted: 3, refused: 1 });
  });

  test("turns a request away that its guard does not admit, with 403, and a path that is not its own not at all", async () => {
    await using service = await startMedia({
      admit: ({ headers }) => {
        if (headers.origin !== undefined) throw new TonetapError("policy", "no web pages");
      },
    });

    await expect(service.peer(TWILIO, { origin: "https://evil.example" })).rejects.toThrow("403");

    expect(service.media.serves("/v1/media/twilio/")).toBe(true);
    expect(service.media.serves("/v1/events")).toBe(false);
    expect(service.media.stats.refused).toBe(1);
  });

  test("a message of 1,025 of 1,024 bytes closes with 1009, and its voice ends", async () => {
    await using service = await startMedia({ maxMessageBytes: 1_024 });
    const peer = await service.peer(TWILIO);
    peer.send(twilio.start());
    const [voice] = await service.arrived(1);

    peer.socket.send("x".repeat(1_025));

    expect((await peer.closed).code).toBe(1009);
    await voice?.heard.completed;
  });

  test("message 101 within a second closes with 1008 where 10 a second are allowed, 100 at once", async () => {
    const clock = new ManualClock();
    await using service = await startMedia({ maxMessagesPerSecond: 10, clock });
    const peer = await service.peer(TWILIO);

    peer.send(
      twilio.start(),
      ...trackMedia(
        "inbound",
        Array.from({ length: 100 }, () => frame),
      ),
    );

    expect(await peer.closed).toEqual({ code: 1008, reason: "at most 10 messages a second" });
    expect(service.media.stats).toMatchObject({ messages: 101, tooFast: 1, closedAbusive: 1 });
    await service.voices[0]?.heard.completed;
  });

  test("8 messages of noise in a row close with 1008; 7 do not", async () => {
    await using service = await startMedia();
    const peer = await service.peer(TWILIO);

    for (let i = 0; i < 7; i++) peer.socket.send("noise");
    peer.send(twilio.connected);
    for (let i = 0; i < 7; i++) peer.socket.send(Buffer.alloc(9));
    peer.send(twilio.connected, []);
    for (let i = 0; i < 7; i++) peer.send(trackMedia("inbound", [frame])[0]);

    const { code, reason } = await peer.closed;
    expect(code).toBe(1008);
    expect(reason).toBe("8 messages in a row were not understood, the last: media before start");
    expect(service.media.stats.malformed).toBe(7 + 7 + 8);
  });

  test("who does not say within 10 s who is speaking is closed, who says nothing for 30 s has left", async () => {
    const clock = new ManualClock();
    await using service = await startMedia({ clock });
    const mute = await service.peer(TWILIO);
    const dead = await service.peer(TWILIO, { autoPong: false });
    dead.send(twilio.start());
    const [voice] = await service.arrived(1);

    clock.advance(10_000);
    expect(await mute.closed).toEqual({ code: 1008, reason: "nothing said who is speaking within 10000 ms" });
    clock.advance(20_000);
    await voice?.heard.completed;

    expect(voice?.source.timedOut).toBe(true);
    expect((await dead.closed).code).toBe(1006);
    await service.empty();
    expect(service.media.stats.closedSilent).toBe(2);
  });

  test("a silent peer that answers pings stays for 300 s", async () => {
    const clock = new ManualClock();
    await using service = await startMedia({ clock });
    const peer = await service.peer(TWILIO);
    peer.send(twilio.start());
    const [voice] = await service.arrived(1);

    for (let i = 0; i < 20; i++) {
      const pinged = new Promise((resolve) => peer.socket.once("ping", resolve));
      clock.advance(15_000);
      await pinged;
      // The pong is on its way; what is sent behind it comes behind it.
      peer.socket.ping();
      await new Promise((resolve) => peer.socket.once("pong", resolve));
    }

    expect(voice?.source.timedOut).toBe(false);
    expect(service.media.stats).toMatchObject({ connections: 1, closedSilent: 0 });
    peer.socket.terminate();
    await voice?.heard.completed;
    await service.empty();
  });

  test("a socket that is torn in mid-call completes its 2 voices", async () => {
    await using service = await startMedia();
    const peer = await service.peer(TWILIO);
    peer.send(twilio.start({}, ["inbound", "outbound"]), ...trackMedia("inbound", [frame, frame]));
    const [first, second] = await service.arrived(2);

    peer.socket.terminate();
    await Promise.all([first?.heard.completed, second?.heard.completed]);
    await service.empty();

    expect(first?.source.timedOut).toBe(false);
    await Promise.all([first?.source.close(), second?.source.close()]);
  });

  test("one that leaves while its voice is being attached leaves 0 connections and a voice that completes", async () => {
    await using service = await startMedia();
    const peer = await service.peer(TWILIO);
    peer.send(twilio.start(), ...trackMedia("inbound", [frame, frame]));
    peer.socket.terminate();

    const [voice] = await service.arrived(1);
    await voice?.heard.completed;
    await service.empty();

    expect(voice?.heard.stats.received).toBe(2);
  });

  test("close() in mid-call says 1001, completes the voice, and takes no newcomer", async () => {
    await using service = await startMedia();
    const peer = await service.peer(TWILIO);
    peer.send(twilio.start());
    const [voice] = await service.arrived(1);

    await Promise.all([service.media.close(), service.media.close()]);

    expect(await peer.closed).toEqual({ code: 1001, reason: "the service is stopping" });
    await voice?.heard.completed;
    expect(service.media.stats.connections).toBe(0);
  });

  test("cuts off who does not read 64 KiB of answers", () => {
    const told: string[] = [];
    const counts = {
      messages: 0,
      malformed: 0,
      tooFast: 0,
      refusedVoices: 0,
      closedAbusive: 0,
      closedSlow: 0,
      closedSilent: 0,
    };
    const socket: MediaSocket = {
      bufferedAmount: 65_536,
      send: () => told.push("send"),
      ping: () => told.push("ping"),
      pong: () => told.push("pong"),
      close: () => told.push("close"),
      terminate: () => told.push("terminate"),
    };
    const connection = new MediaConnection({
      socket,
      counts,
      dialect: jitsiDialect,
      limits: { maxMessagesPerSecond: 10, inactivityMs: 30_000, startTimeoutMs: 10_000, closeGraceMs: 2_000 },
      clock: new ManualClock(),
      id: "id",
      query: new URLSearchParams(),
      headers: {},
      isAuthorized: true,
      authorize: async () => true,
      onVoice: () => undefined,
    });

    connection.pinged(Buffer.alloc(0));
    connection.message(Buffer.from('{"event":"ping","id":1}'), false);
    connection.message(Buffer.from('{"event":"ping","id":2}'), false);

    expect(told).toEqual(["terminate"]);
    expect(counts.closedSlow).toBe(1);
  });

  test.each<[string, Partial<MediaSocketOptions>, string]>([
    ["0 connections", { maxConnections: 0 }, "media maxConnections must be 1–10000, got 0"],
    ["a message of 1 byte", { maxMessageBytes: 1 }, "media maxMessageBytes must be 1024–1048576, got 1"],
    [
      "1 message a second",
      { maxMessagesPerSecond: 1 },
      "media maxMessagesPerSecond must be 10–100000, got 1",
    ],
    ["1 ms of silence", { inactivityMs: 1 }, "media inactivityMs must be 1000–600000, got 1"],
  ])("cannot be made for %s", (_, options, words) => {
    expect(() => new MediaSocketServer(createServer(), { onVoice: () => undefined, ...options })).toThrow(
      words,
    );
  });
});
