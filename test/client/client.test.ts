/** The client against the real service: src/client. */
import { readdir, readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { gzipSync } from "node:zlib";
import { describe, expect, expectTypeOf, test } from "vitest";
import { WebSocketServer } from "ws";
import { type ConnectionStatus, connect, type EventConnection } from "../../src/client/index.ts";
import { HttpServer } from "../../src/events/http-server.ts";
import { kindOf, type TonetapEvent } from "../../src/events/schema.ts";
import { EventSocketServer } from "../../src/events/websocket-server.ts";
import { ADA, breathe, emotion, joinedOf, startService, until } from "../events/support.ts";

const isOpen = (connection: EventConnection) => (): boolean => connection.status.state === "open";

describe("a client", () => {
  test("loops over 2 snapshot and 3 live events, those before the loop began included", async () => {
    await using service = await startService();
    const { hub, factory } = service;
    hub.publish(factory.create("call.started", { callId: ADA.callId }));
    hub.publish(factory.create("participant.joined", joinedOf(ADA)));
    using connection = connect(service.url);
    await until(isOpen(connection));
    for (let i = 0; i < 3; i++) hub.publish(emotion(factory, ADA, i));
    await breathe();
    const seen: string[] = [];
    for await (const event of connection) {
      seen.push(kindOf(event));
      if (seen.length === 5) break;
    }
    expect(seen).toEqual(["call.started", "participant.joined", "emotion", "emotion", "emotion"]);
  });

  test("calls handlers by kind with the event's type, and not after they were taken off: 1 of 2 events", async () => {
    await using service = await startService();
    using connection = connect(service.url, { filter: { kinds: ["emotion"] } });
    const tops: string[] = [];
    const kinds: string[] = [];
    const off = connection.on("emotion", (event) => {
      expectTypeOf(event.data.top).toEqualTypeOf<string>();
      tops.push(event.data.top);
      off();
    });
    connection.on("event", (event) => kinds.push(kindOf(event)));
    await until(isOpen(connection));
    for (let i = 0; i < 2; i++) service.hub.publish(emotion(service.factory, ADA, i));
    await until(() => kinds.length === 2);
    expect(tops).toEqual(["angry"]);
    expect(kinds).toEqual(["emotion", "emotion"]);
  });

  test("carries ids with commas in its filter, and changes it in flight and while connecting: 3 filters", async () => {
    await using service = await startService();
    const { hub, factory } = service;
    const calls = ["a,b", "c", "d"];
    for (const callId of calls) hub.publish(factory.create("call.started", { callId }));
    using connection = connect(service.url, { filter: { calls: ["a,b"] } });
    const seen: TonetapEvent[] = [];
    connection.on("event", (event) => seen.push(event));
    await until(() => seen.length === 1);
    connection.subscribe({ calls: ["c"] });
    await until(() => seen.length === 2);
    using another = connect(service.url, { filter: { calls: ["c"] } });
    another.on("event", (event) => seen.push(event));
    another.subscribe({ calls: ["d"] });
    await until(() => seen.length >= 4);
    expect(seen.map((event) => event.subject)).toEqual(["calls/a%2Cb", "calls/c", "calls/c", "calls/d"]);
  });

  test("comes back after the server was gone and is told what it missed: 1 event, then 1 live, none twice", async () => {
    await using service = await startService();
    const { hub, factory, url } = service;
    hub.publish(factory.create("call.started", { callId: ADA.callId }));
    using connection = connect(url, { minDelayMs: 10 });
    const statuses: ConnectionStatus["state"][] = [];
    const seen: TonetapEvent[] = [];
    connection.on("status", ({ state }) => statuses.push(state));
    connection.on("event", (event) => seen.push(event));
    await until(() => seen.length === 1);
    await service.sockets.close();
    await service.http.close();
    const missed = factory.create("participant.joined", joinedOf(ADA));
    hub.publish(missed);
    await until(() => statuses.filter((state) => state === "waiting").length >= 2);

    const http = new HttpServer();
    const sockets = new EventSocketServer(http.server, hub, { source: factory.source });
    await http.listen(url.hostname, Number(url.port));
    await until(() => seen.length >= 2);
    hub.publish(emotion(factory, ADA, 0));
    await until(() => seen.length >= 3);
    await breathe();
    expect(seen.map(kindOf)).toEqual(["call.started", "participant.joined", "emotion"]);
    expect(connection.status).toEqual({
      state: "open",
      source: "/tonetap/local",
      epoch: factory.epoch,
      resumed: true,
      snapshot: 0,
      replay: 1,
    });
    connection.close();
    await sockets.close();
    await http.close();
  });

  test("waits twice as long after each of 6 failures, half of it by chance, up to its limit", async () => {
    const delays: number[] = [];
    let retry: () => void = () => undefined;
    using connection = connect("http://127.0.0.1:9", {
      minDelayMs: 100,
      maxDelayMs: 1000,
      clock: {
        schedule(delayMs, task) {
          delays.push(delayMs);
          retry = task;
          return () => undefined;
        },
      },
    });
    for (let failure = 1; failure <= 6; failure++) {
      await until(() => delays.length === failure);
      expect(connection.status).toMatchObject({ state: "waiting", delayMs: delays.at(-1), code: 1006 });
      retry();
    }
    [100, 200, 400, 800, 1000, 1000].forEach((full, i) => {
      expect(delays[i]).toBeGreaterThanOrEqual(full / 2);
      expect(delays[i]).toBeLessThanOrEqual(full);
    });
  });

  test("does not come back when the service will not have it: 1 error, then closed with 1008", async () => {
    await using service = await startService({ maxErrors: 1 });
    using connection = connect(service.url);
    const errors: string[] = [];
    connection.on("error", ({ code }) => errors.push(code));
    await until(isOpen(connection));
    connection.subscribe({ kinds: ["mood" as never] });
    const seen: TonetapEvent[] = [];
    for await (const event of connection) seen.push(event);
    expect(seen).toEqual([]);
    expect(errors).toEqual(["protocol"]);
    expect(connection.status).toMatchObject({ state: "closed", code: 1008 });
  });

  test("ends its loop and its socket when it is closed or aborted: 2 connections, 0 left", async () => {
    await using service = await startService();
    const abort = new AbortController();
    const aborted = connect(service.url, { signal: abort.signal });
    const closed = connect(service.url);
    await until(() => service.sockets.stats.subscribers === 2);
    const loops = [aborted, closed].map(async (connection) => {
      for await (const _ of connection) throw new Error("there are no events here");
    });
    abort.abort();
    closed.close();
    closed.close();
    await Promise.all(loops);
    await until(() => service.sockets.stats.subscribers === 0);
    expect([aborted.status, closed.status]).toEqual([
      { state: "closed", code: 1000, reason: "aborted" },
      { state: "closed", code: 1000, reason: "closed by the client" },
    ]);
    const never = connect(service.url, { signal: AbortSignal.abort() });
    expect(never.status.state).toBe("closed");
    expect(await never[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
  });

  test("tells of a gap of 5 events, and ignores a control message it does not know", async () => {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "tonetap.v1" });
    server.on("connection", (socket) => {
      const hello = {
        type: "hello",
        protocol: "tonetap.v1",
        source: "/tonetap/x",
        epoch: "e",
        filter: {},
        snapshot: 0,
        replay: 0,
        position: "e-",
      };
      const gap = { type: "gap", reason: "slow", dropped: 5, sequence: 5 };
      for (const message of [hello, { type: "weather", rain: true }, gap]) {
        socket.send(JSON.stringify(message));
      }
    });
    await until(() => server.address() !== null);
    const { port } = server.address() as { port: number };
    using connection = connect(`ws://127.0.0.1:${port}/v1/events`);
    const gaps: (number | undefined)[] = [];
    connection.on("gap", ({ dropped }) => gaps.push(dropped));
    await until(() => gaps.length === 1);
    expect(gaps).toEqual([5]);
    expect(connection.status).toMatchObject({ state: "open", source: "/tonetap/x", resumed: false });
    connection.close();
    server.close();
  });

  test("keeps the latest 3 events for a loop that is slow, and counts 7 as dropped", async () => {
    await using service = await startService();
    using connection = connect(service.url, { queueLimit: 3 });
    const loop = connection[Symbol.asyncIterator]();
    await until(isOpen(connection));
    for (let i = 0; i < 10; i++) service.hub.publish(emotion(service.factory, ADA, i));
    await until(() => loop.dropped === 7);
    const kept = [await loop.next(), await loop.next(), await loop.next()];
    expect(kept.map(({ value }) => value?.type === "tonetap.emotion" && value.data.index)).toEqual([7, 8, 9]);
  });

  test("refuses 2 addresses that cannot be a service", () => {
    expect(() => connect("nowhere")).toThrow(TypeError);
    expect(() => connect("ftp://127.0.0.1/")).toThrow(/wss/);
  });
});

describe("the client's code", () => {
  const folder = new URL("../../src/client/", import.meta.url);

  test("loads nothing outside its folder and is at most 8 kB gzipped", async () => {
    let all = "";
    for (const name of await readdir(folder)) {
      const code = stripTypeScriptTypes(await readFile(new URL(name, folder), "utf8"));
      const imports = [...code.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]);
      for (const specifier of imports) expect(specifier).toMatch(/^\.\/[a-z-]+\.ts$/);
      all += code;
    }
    expect(all.length).toBeGreaterThan(1000);
    expect(gzipSync(all).length).toBeLessThan(8192);
  });
});
