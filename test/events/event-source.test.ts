/** Server-sent events: event-source-server.ts. */
import { connect as connectTcp } from "node:net";
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { type EventSourceOptions, EventSourceServer } from "../../src/events/event-source-server.ts";
import { kindOf, tonetapEventSchema } from "../../src/events/schema.ts";
import { SubscriberGate } from "../../src/events/subscriber-gate.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ADA, type EventService, emotion, joinedOf, startService, until } from "./support.ts";

interface Message {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/** Reads an event stream as WHATWG HTML §9.2.6 says. */
class Listener {
  readonly messages: Message[] = [];
  readonly comments: string[] = [];
  lastId = "";
  ended = false;
  readonly #abort = new AbortController();

  static async open(
    service: EventService,
    query = "",
    headers: Record<string, string> = {},
  ): Promise<Listener> {
    const listener = new Listener();
    const response = await fetch(new URL(`/v1/events${query}`, service.url), {
      headers: { accept: "text/event-stream", ...headers },
      signal: listener.#abort.signal,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    void listener.#read(response);
    await until(() => listener.control("hello").length === 1);
    return listener;
  }

  control(name: string): unknown[] {
    return this.messages.filter(({ event }) => event === name).map(({ data }) => JSON.parse(data));
  }

  get events() {
    return this.messages
      .filter(({ event }) => event === undefined)
      .map(({ data }) => tonetapEventSchema.parse(JSON.parse(data)));
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    try {
      for await (const chunk of response.body ?? []) {
        text += decoder.decode(chunk as Uint8Array, { stream: true });
        const blocks = text.split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) this.#take(block);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) throw error;
    }
    this.ended = true;
  }

  #take(block: string): void {
    const fields = new Map<string, string>();
    for (const line of block.split("\n")) {
      if (line.startsWith(":")) this.comments.push(line);
      const [, name = "", value = ""] = /^(\w+): ?(.*)$/.exec(line) ?? [];
      if (name !== "") fields.set(name, value);
    }
    this.lastId = fields.get("id") ?? this.lastId;
    const data = fields.get("data");
    if (data !== undefined) this.messages.push({ id: fields.get("id"), event: fields.get("event"), data });
  }
}

async function withListeners(
  options: Partial<EventSourceOptions> = {},
): Promise<{ service: EventService; sources: EventSourceServer } & AsyncDisposable> {
  const service = await startService(options.clock === undefined ? {} : { clock: options.clock });
  const sources = new EventSourceServer(service.http, service.hub, {
    source: service.factory.source,
    ...options,
  });
  return {
    service,
    sources,
    async [Symbol.asyncDispose]() {
      await sources.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

describe("a listener to server-sent events", () => {
  test("gets hello, 2 snapshot events and 1 live one, each with its id, through its filter", async () => {
    await using running = await withListeners();
    const { service, sources } = running;
    service.hub.publish(service.factory.create("call.started", { callId: ADA.callId }));
    service.hub.publish(service.factory.create("participant.joined", joinedOf(ADA)));
    const listener = await Listener.open(service, "?call=c1");
    service.hub.publish(emotion(service.factory, { ...ADA, callId: "c2" }, 0));
    service.hub.publish(emotion(service.factory, ADA, 1));
    await until(() => listener.events.length === 3);
    expect(listener.events.map(kindOf)).toEqual(["call.started", "participant.joined", "emotion"]);
    expect(listener.control("hello")).toMatchObject([{ snapshot: 2, replay: 0, filter: { calls: ["c1"] } }]);
    expect(listener.lastId).toBe(listener.events[2]?.id);
    expect(sources.listeners).toBe(1);
    listener.close();
    await until(() => sources.listeners === 0);
    expect(service.hub.stats.subscribers).toBe(0);
  });

  test("comes back with Last-Event-ID and gets the 2 events it missed, none twice", async () => {
    await using running = await withListeners();
    const { service, sources } = running;
    const first = await Listener.open(service);
    service.hub.publish(emotion(service.factory, ADA, 0));
    await until(() => first.events.length === 1);
    first.close();
    await until(() => sources.listeners === 0);
    for (let i = 1; i < 3; i++) service.hub.publish(emotion(service.factory, ADA, i));
    const second = await Listener.open(service, "", { "last-event-id": first.lastId });
    await until(() => second.events.length === 2);
    expect(second.events.map(({ data }) => "index" in data && data.index)).toEqual([1, 2]);
    expect(second.control("hello")).toMatchObject([{ snapshot: 0, replay: 2 }]);
    expect(second.control("gap")).toEqual([]);
    const third = await Listener.open(service, "", { "last-event-id": "0another0-0000000007" });
    expect(third.control("gap")).toMatchObject([{ reason: "restart" }]);
    second.close();
    third.close();
  });

  test("hears a comment every 15 s, and a bookmark 5 s after events that were not for it", async () => {
    const clock = new ManualClock();
    await using running = await withListeners({ clock });
    const { service } = running;
    const listener = await Listener.open(service, "?kinds=call.ended");
    service.hub.publish(emotion(service.factory, ADA, 0));
    for (let second = 0; second < 15; second++) clock.advance(1000);
    await until(() => listener.comments.length === 1 && listener.control("bookmark").length === 1);
    expect(listener.lastId).toBe(service.hub.position);
    listener.close();
  });

  test("is told everything and that this was all when the service stops, with the position to go on from", async () => {
    const running = await withListeners();
    const { service, sources } = running;
    const listener = await Listener.open(service);
    service.hub.publish(emotion(service.factory, ADA, 0));
    await service.hub.close();
    await sources.close();
    await until(() => listener.ended);
    expect(listener.events).toHaveLength(1);
    expect(listener.control("end")).toEqual([
      { type: "end", position: `${service.factory.epoch}-~`, sequence: 1 },
    ]);
    expect(listener.lastId).toBe(`${service.factory.epoch}-~`);
    await running[Symbol.asyncDispose]();
  });

  test("is refused in 4 ways: what it accepts, its filter, no place, no permission", async () => {
    const gate = new SubscriberGate({
      maxSubscribers: 1,
      authorize: ({ query }) => {
        if (query.get("key") === "wrong") throw new TonetapError("policy", "this key is not known here");
        query.delete("key");
        return {};
      },
    });
    await using running = await withListeners({ gate });
    const { service } = running;
    const ask = async (query: string, accept = "text/event-stream"): Promise<number> => {
      const response = await fetch(new URL(`/v1/events${query}`, service.url), { headers: { accept } });
      await response.body?.cancel();
      return response.status;
    };
    expect(await ask("", "text/html")).toBe(406);
    expect(await ask("?kinds=mood")).toBe(400);
    expect(await ask("?key=wrong")).toBe(403);
    const listener = await Listener.open(service, "?key=right&kinds=emotion");
    expect(await ask("")).toBe(503);
    listener.close();
    await until(() => gate.inside === 0);
  });

  test("that never reads is cut off after 10 s and costs bounded memory", async () => {
    const clock = new ManualClock();
    await using running = await withListeners({ clock });
    const { service, sources } = running;
    const deaf = connectTcp(Number(service.url.port), service.url.hostname);
    deaf.write(`GET /v1/events HTTP/1.1\r\nHost: ${service.url.host}\r\n\r\n`);
    deaf.pause();
    await until(() => sources.listeners === 1);
    for (let i = 0; i < 12_000; i++) {
      service.hub.publish(emotion(service.factory, ADA, i));
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // More than the kernel's buffers on both sides and the queue take.
    expect(service.hub.stats.dropped).toBeGreaterThan(0);
    for (let second = 0; second < 11; second++) clock.advance(1000);
    await until(() => sources.listeners === 0);
    deaf.destroy();
  });
});
