/** What docs/ says about events is what the code does: asyncapi.ts, event-examples.ts, scripts/event-docs.ts. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { eventDocs, withExamples } from "../../scripts/event-docs.ts";
import { asyncApiDocument } from "../../src/events/asyncapi.ts";
import { docsPage } from "../../src/events/docs-page.ts";
import { eventExamples } from "../../src/events/event-examples.ts";
import { CLOSE_CODES, CONTROL_SCHEMAS } from "../../src/events/protocol.ts";
import { EVENT_KINDS, EVENT_SCHEMAS, tonetapEventSchema } from "../../src/events/schema.ts";
import { addServiceRoutes } from "../../src/events/service-routes.ts";
import { openApiDocument } from "../../src/openapi.ts";
import { Peer, startService } from "./support.ts";

/** JSON, seen as objects all the way down; texts are read with String(). */
interface Node {
  readonly [key: string]: Node;
}

const document = asyncApiDocument() as unknown as Node;

/** The node that a `#/a/b` points at; every step must exist. */
function resolve(ref: string): Node {
  let node: Node | undefined = document;
  for (const step of ref.replace(/^#\//, "").split("/")) node = node?.[step];
  if (node === undefined) throw new Error(`${ref} points nowhere`);
  return node;
}

function* refsIn(node: unknown): Generator<string> {
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (key === "$ref" && typeof value === "string") yield value;
    else yield* refsIn(value);
  }
}

const markdown = (): Promise<string> => readFile(new URL("../../docs/events.md", import.meta.url), "utf8");

describe("the committed documents", () => {
  test("are the 2 that node scripts/generate-asyncapi.ts writes: no drift", async () => {
    for (const { url, render } of eventDocs) {
      const committed = await readFile(url, "utf8");
      expect(render(committed)).toBe(committed);
    }
  });

  test("would show drift of 1 changed field", () => {
    const stale = '<!-- example: call.started data -->\n```json\n{ "callId": "other" }\n```\n';
    expect(withExamples(stale)).toBe(
      '<!-- example: call.started data -->\n```json\n{ "callId": "support-4711" }\n```\n',
    );
  });

  test("show an example of each of the 21 kinds, and every block of JSON parses", async () => {
    const text = await markdown();
    const shown = [...text.matchAll(/<!-- example: ([\w.]+)( data)? -->\n```json\n([^`]*)```/g)];
    expect(shown.map((match) => match[1]).sort()).toEqual([...EVENT_KINDS].sort());
    for (const [, kind = "", dataOnly, json = ""] of shown) {
      const example = eventExamples()[kind as (typeof EVENT_KINDS)[number]];
      const value = JSON.parse(json);
      expect(tonetapEventSchema.parse(dataOnly === undefined ? value : { ...example, data: value })).toEqual(
        example,
      );
    }
  });

  test("name the 6 control messages, the 4 close codes and the 3 limits that hello tells", async () => {
    const text = await markdown();
    for (const name of Object.keys(CONTROL_SCHEMAS)) expect(text).toContain(`| \`${name}\` |`);
    for (const code of Object.values(CLOSE_CODES)) expect(text).toContain(`| ${code} |`);
    await using service = await startService();
    const peer = await Peer.open(service);
    const { limits } = await peer.heard("hello");
    expect(text).toContain(`up to ${limits.queueLimit.toLocaleString("en")} events`);
    expect(text).toContain(`longer than ${limits.maxMessageBytes.toLocaleString("en")} bytes`);
    expect(text).toContain(`${limits.maxMessagesPerSecond} messages a second`);
    await peer.close();
  });
});

describe("the AsyncAPI document", () => {
  test("has no reference among its dozens that points nowhere", () => {
    const refs = [...refsIn(document)];
    expect(refs.length).toBeGreaterThan(50);
    for (const ref of refs) expect(resolve(ref)).toBeDefined();
  });

  test("has what AsyncAPI 3.0 requires: 2 operations on 1 channel, whose messages the channel has", () => {
    expect(document).toMatchObject({
      asyncapi: "3.0.0",
      info: { title: "Tonetap events", version: "1.0.0" },
    });
    const channel = resolve("#/channels/events");
    expect(channel.address).toBe("/v1/events");
    const operations = Object.values(document.operations ?? {});
    expect(operations.map((operation) => operation.action)).toEqual(["send", "receive"]);
    for (const operation of operations) {
      expect(operation.channel?.$ref).toBe("#/channels/events");
      // AsyncAPI 3.0, Operation Object: messages must be among those of the channel.
      for (const { $ref } of Object.values(operation.messages ?? {})) {
        expect(String($ref)).toMatch(/^#\/channels\/events\/messages\/\w+$/);
      }
    }
    const messages = Object.values(resolve("#/components/messages"));
    expect(messages).toHaveLength(21 + 6 + 1);
    for (const message of messages) {
      expect(message).toMatchObject({
        name: expect.any(String),
        contentType: expect.stringMatching(/json$/),
      });
      expect(resolve(String(message.payload?.$ref)).type).toBe("object");
    }
  });

  test("has JSON schemas that take the 20 examples and refuse each of them without its data", () => {
    for (const kind of EVENT_KINDS) {
      const name = kind.replace(/(^|\.)(\w)/g, (_match, _dot, letter: string) => letter.toUpperCase());
      // Back from JSON Schema to a validator: what a client author would do.
      const schema = z.fromJSONSchema(resolve(`#/components/schemas/${name}`) as never);
      const example = eventExamples()[kind];
      expect(schema.safeParse(example).success).toBe(true);
      const { data: _, ...without } = example;
      expect(schema.safeParse(without).success).toBe(false);
      expect(EVENT_SCHEMAS[kind].safeParse(without).success).toBe(false);
    }
  });
});

describe("the page at /docs", () => {
  const page = docsPage(asyncApiDocument());

  test("shows all 28 messages with their fields, whatever they contain as text", () => {
    for (const [id, message] of Object.entries(resolve("#/components/messages"))) {
      expect(page).toContain(`<section id="${id}">`);
      expect(page).toContain(`<h2>${String(message.name)}</h2>`);
    }
    expect(page.match(/<section /g)).toHaveLength(28);
    expect(page).toContain("<code>expression.peak.mediaMs</code>");
    expect(page).toContain("<code>trends[].direction</code>");
    const hostile = docsPage({ info: { title: "<script>alert(1)</script>" }, components: {} });
    expect(hostile).not.toContain("<script");
  });

  test("loads nothing but its own style, which a service serves beside it, and leads to the REST API: 4 addresses", async () => {
    const addresses = [...page.matchAll(/(?:href|src)="([^"#]+)"/g)].map((match) => match[1]);
    expect(addresses).toEqual(["/docs/docs.css", "/docs/asyncapi.json", "/docs/rest", "/openapi.json"]);
    await using service = await startService();
    addServiceRoutes(service.http, { hub: service.hub, openApi: openApiDocument() });
    for (const path of ["/docs", ...addresses]) {
      const response = await fetch(new URL(path ?? "", service.url));
      expect(response.status).toBe(200);
      const again = await fetch(new URL(path ?? "", service.url), {
        headers: { "if-none-match": response.headers.get("etag") ?? "" },
      });
      expect(again.status).toBe(304);
    }
  });
});
