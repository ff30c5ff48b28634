/**
 * `npm run conformance -- ws://127.0.0.1:8080`: does a running service keep to docs/events.md? For whoever writes a
 * client, a proxy or another server. Needs no call: service.stats is enough. Ends with 1 when something is not as it should be.
 */
import { once } from "node:events";
import { decode } from "cborg";
import { WebSocket } from "ws";
import type { z } from "zod";
import { TonetapError } from "../src/core/errors.ts";
import { type TonetapEvent, tonetapEventSchema } from "../src/events/index.ts";
import { CONTROL_SCHEMAS, type ControlMessage } from "../src/events/protocol.ts";

const PATIENCE_MS = 15_000;

type Control<T extends ControlMessage["type"]> = Extract<ControlMessage, { type: T }>;

/** @throws TonetapError protocol */
function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TonetapError("protocol", message);
}

/** One connection and everything it has heard; all of it is held against the schemas as it comes. */
class Witness {
  readonly socket: WebSocket;
  readonly events: TonetapEvent[] = [];
  readonly controls: ControlMessage[] = [];
  /** Frames in their order: the id of an event or the type of a control message. */
  readonly frames: string[] = [];
  binary = 0;
  closeCode: number | undefined;
  #broken: unknown;

  constructor(url: URL, query = "", protocols: string[] = []) {
    this.socket = new WebSocket(new URL(`${url.pathname}${query}`, url), protocols);
    this.socket.on("message", (data: Buffer, isBinary: boolean) => {
      try {
        this.#take(data, isBinary);
      } catch (error) {
        this.#broken ??= error;
      }
    });
    this.socket.on("close", (code) => {
      this.closeCode = code;
    });
    this.socket.on("error", (error) => {
      this.#broken ??= error;
    });
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (isBinary) this.binary++;
    const message: unknown = isBinary ? decode(data) : JSON.parse(data.toString());
    demand(typeof message === "object" && message !== null, "a frame must be an object");
    if ("specversion" in message) {
      this.events.push(tonetapEventSchema.parse(message) as TonetapEvent);
      this.frames.push((message as TonetapEvent).id);
      return;
    }
    const { type } = message as ControlMessage;
    const schema: z.ZodType | undefined = CONTROL_SCHEMAS[type];
    demand(schema !== undefined, `unknown control message ${type}`);
    this.controls.push(schema.parse(message) as ControlMessage);
    this.frames.push(type);
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!condition()) {
      if (this.#broken !== undefined) throw this.#broken;
      demand(performance.now() < end, `not within ${PATIENCE_MS / 1000} s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (this.#broken !== undefined) throw this.#broken;
  }

  async heard<T extends ControlMessage["type"]>(type: T): Promise<Control<T>> {
    const found = () => this.controls.find((message): message is Control<T> => message.type === type);
    await this.until(`a ${type} message`, () => found() !== undefined);
    return found() as Control<T>;
  }

  async close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.socket.close();
    await once(this.socket, "close");
  }
}

const STATS = "?kinds=service.stats";

/** Sentences of docs/events.md, and how each is seen to be true. */
const CHECKS: Readonly<Record<string, (url: URL) => Promise<void>>> = {
  "hello comes first, then the snapshot it announces, then live events that are valid CloudEvents": async (
    url,
  ) => {
    const peer = new Witness(url);
    const { snapshot, epoch, source, position } = await peer.heard("hello");
    demand(peer.frames[0] === "hello", "the first frame must be hello");
    demand(position.startsWith(`${epoch}-`), "a position must begin with the epoch and -");
    await peer.until("a live event", () => peer.events.length > snapshot);
    demand(
      peer.events.every((event) => event.source === source),
      "events must have the source of hello",
    );
    await peer.close();
  },
  "ids rise in the order of events": async (url) => {
    const peer = new Witness(url, STATS);
    await peer.until("3 service.stats events", () => peer.events.length >= 3);
    const ids = peer.events.map(({ id }) => id);
    demand(
      ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? "")),
      "ids must rise",
    );
    demand(
      peer.events.every(({ type }) => type === "tonetap.service.stats"),
      "the filter must hold",
    );
    await peer.close();
  },
  "subscribe is answered with subscribed, and after it the new filter holds": async (url) => {
    const peer = new Witness(url);
    await peer.heard("hello");
    peer.socket.send(
      JSON.stringify({ type: "subscribe", filter: { kinds: ["service.stats"], labels: ["angry"] } }),
    );
    const { filter, sequence } = await peer.heard("subscribed");
    demand(JSON.stringify(filter.kinds) === '["service.stats"]', "subscribed must repeat the filter");
    const at = peer.frames.indexOf("subscribed");
    await peer.until("an event", () => peer.frames.length > at + 1);
    demand(sequence >= 0, "subscribed must have a sequence");
    const after = peer.events.slice(peer.events.length - (peer.frames.length - at - 1));
    demand(
      after.every(({ type }) => type === "tonetap.service.stats"),
      "the new filter must hold",
    );
    await peer.close();
  },
  "nonsense is answered with an error, and the connection stays": async (url) => {
    const peer = new Witness(url, STATS);
    await peer.heard("hello");
    peer.socket.send("{");
    const { code } = await peer.heard("error");
    demand(code === "protocol", `the error must be protocol, got ${code}`);
    const count = peer.events.length;
    await peer.until("an event after the error", () => peer.events.length > count);
    await peer.close();
  },
  "whoever comes back with a position gets what came after it, once, and no snapshot": async (url) => {
    const peer = new Witness(url, STATS);
    await peer.until("2 events", () => peer.events.length >= 2);
    const after = peer.events[0]?.id ?? "";
    await peer.close();
    const back = new Witness(url, `${STATS}&after=${after}`);
    const { snapshot, replay } = await back.heard("hello");
    demand(snapshot === 0 && replay >= 1, `replay must be 1 or more without snapshot, got ${replay}`);
    await back.until("the replay and a live event", () => back.events.length > replay);
    const ids = back.events.map(({ id }) => id);
    demand(ids[0] === peer.events[1]?.id, "the replay must begin with the next event");
    demand(new Set(ids).size === ids.length && !ids.includes(after), "nothing may come twice");
    demand(!back.controls.some(({ type }) => type === "gap"), "there must be no gap");
    await back.close();
  },
  "a position of another run is a gap with the reason restart; an end position is none": async (url) => {
    const stranger = new Witness(url, `${STATS}&after=000000000-0000000001`);
    const { reason } = await stranger.heard("gap");
    demand(reason === "restart", `the reason must be restart, got ${reason}`);
    await stranger.close();
    const orderly = new Witness(url, `${STATS}&after=000000000-~`);
    await orderly.until("an event", () => orderly.events.length > 0);
    const gap = orderly.controls.find((message): message is Control<"gap"> => message.type === "gap");
    demand(gap?.reason !== "restart", "whoever had all of a run has missed nothing of it");
    await orderly.close();
  },
  "a quiet filter gets a bookmark whose sequence is that of the subscriber": async (url) => {
    const peer = new Witness(url, "?kinds=call.failed");
    const { sequence, position } = await peer.heard("bookmark");
    const { snapshot, epoch } = await peer.heard("hello");
    demand(sequence === peer.events.length - snapshot, "the sequence must be the number of events");
    demand(position.startsWith(`${epoch}-`), "the position must be of this run");
    await peer.close();
  },
  "cloudevents.json gives events and nothing else": async (url) => {
    const peer = new Witness(url, STATS, ["cloudevents.json"]);
    await peer.until("2 events", () => peer.events.length >= 2);
    demand(peer.socket.protocol === "cloudevents.json", "the subprotocol must be taken");
    demand(peer.controls.length === 0 && peer.binary === 0, "there must be texts of events only");
    await peer.close();
  },
  "tonetap.v1.cbor gives the same in binary frames": async (url) => {
    const peer = new Witness(url, STATS, ["tonetap.v1.cbor"]);
    await peer.heard("hello");
    await peer.until("an event", () => peer.events.length >= 1);
    demand(peer.binary === peer.frames.length, "every frame must be binary");
    await peer.close();
  },
  "a filter that is not understood is answered with 400 and a problem document": async (url) => {
    const http = new URL(`${url.pathname}?kinds=mood`, url.href.replace(/^ws/, "http"));
    const response = await fetch(http, { headers: { accept: "text/event-stream" } });
    const body = await response.text();
    demand(response.status === 400, `the status must be 400, got ${response.status}`);
    demand(
      response.headers.get("content-type") === "application/problem+json" && "detail" in JSON.parse(body),
      "the answer must be a problem document",
    );
  },
  "server-sent events carry the same, with ids": async (url) => {
    const http = new URL(`${url.pathname}${STATS}`, url.href.replace(/^ws/, "http"));
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
    const response = await fetch(http, { headers: { accept: "text/event-stream" }, signal: abort.signal });
    demand(
      response.headers.get("content-type") === "text/event-stream",
      "the type must be text/event-stream",
    );
    let text = "";
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    demand(reader !== undefined, "there must be a body");
    const pattern = /(?:^|\n\n)id: (\S+)\ndata: (.*)\n\n/;
    while (!pattern.test(text)) text += (await reader.read()).value ?? "";
    const [, id, data = ""] = pattern.exec(text) ?? [];
    const event = tonetapEventSchema.parse(JSON.parse(data));
    demand(event.id === id, "the id must be the event's");
    demand(text.includes("\nevent: hello\n"), "hello must be a named event");
    clearTimeout(timer);
    abort.abort();
  },
  "a message too long is closed with 1009": async (url) => {
    const peer = new Witness(url, STATS);
    const { limits } = await peer.heard("hello");
    peer.socket.send("x".repeat(limits.maxMessageBytes + 1));
    await peer.until("the close", () => peer.closeCode !== undefined);
    demand(peer.closeCode === 1009, `the code must be 1009, got ${peer.closeCode}`);
  },
};

export interface ConformanceResult {
  readonly check: string;
  /** Absent when it is as it should be. */
  readonly failure?: string;
}

/** @param url of a service or of its events; http or ws */
export async function* runConformance(url: string): AsyncGenerator<ConformanceResult, void, undefined> {
  const events = new URL(url.replace(/^http/, "ws"));
  if (events.pathname === "/") events.pathname = "/v1/events";
  for (const [check, run] of Object.entries(CHECKS)) {
    try {
      await run(events);
      yield { check };
    } catch (error) {
      yield { check, failure: error instanceof Error ? error.message : String(error) };
    }
  }
}

if (import.meta.main) {
  const [url] = process.argv.slice(2);
  if (url === undefined || !URL.canParse(url)) {
    console.error("usage: npm run conformance -- ws://127.0.0.1:8080");
    process.exit(64);
  }
  let failures = 0;
  for await (const { check, failure } of runConformance(url)) {
    console.log(failure === undefined ? `ok      ${check}` : `FAILED  ${check}\n        ${failure}`);
    if (failure !== undefined) failures++;
  }
  console.log(failures === 0 ? "conforms" : `${failures} of ${Object.keys(CHECKS).length} checks failed`);
  process.exit(failures === 0 ? 0 : 1);
}
