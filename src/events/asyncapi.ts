/** The event protocol as an AsyncAPI 3.0 document, read off the zod schemas. scripts/generate-asyncapi.ts writes it down. */
import { z } from "zod";
import { eventExamples } from "./event-examples.ts";
import { CONTROL_SCHEMAS, clientMessageSchema, EVENTS_PATH, SUBPROTOCOLS } from "./protocol.ts";
import { EVENT_KINDS, EVENT_SCHEMAS, type EventKind, SCHEMA_VERSION } from "./schema.ts";

/** JSON, as the document is made of. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

/** AsyncAPI 3.0: its default schema format is a superset of JSON Schema draft 07. */
function jsonSchema(schema: z.ZodType): JsonObject {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: "draft-7", io: "input" });
  return rest as unknown as JsonObject;
}

/** `call.started` → `CallStarted` */
const pascal = (name: string): string =>
  name
    .split(".")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");

const ref = (path: string): JsonObject => ({ $ref: `#/${path}` });

export function asyncApiDocument(): JsonObject {
  const examples = eventExamples();
  const eventMessages = Object.fromEntries(
    EVENT_KINDS.map((kind: EventKind) => [
      pascal(kind),
      {
        name: `tonetap.${kind}`,
        title: pascal(kind),
        summary: EVENT_SCHEMAS[kind].description ?? "",
        contentType: "application/cloudevents+json",
        payload: ref(`components/schemas/${pascal(kind)}`),
        examples: [{ payload: examples[kind] as unknown as JsonObject }],
      },
    ]),
  );
  const controlMessages = Object.fromEntries(
    Object.entries(CONTROL_SCHEMAS).map(([name, schema]) => [
      pascal(name),
      {
        name,
        title: pascal(name),
        summary: schema.description ?? "",
        contentType: "application/json",
        payload: ref(`components/schemas/${pascal(name)}`),
      },
    ]),
  );
  const subscribe = {
    name: "subscribe",
    title: "Subscribe",
    summary: "Changes the filter of this connection.",
    contentType: "application/json",
    payload: ref("components/schemas/Subscribe"),
    examples: [{ payload: { type: "subscribe", filter: { calls: ["support-4711"], kinds: ["emotion"] } } }],
  };
  const sent = [...Object.keys(eventMessages), ...Object.keys(controlMessages)];
  const channelMessage = (name: string): JsonObject => ref(`channels/events/messages/${name}`);
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Tonetap events",
      version: `${SCHEMA_VERSION}.0.0`,
      description:
        "Which emotion each voice of a live call expresses, while people talk. Frames with `specversion` are " +
        "CloudEvents 1.0; frames without it are control messages, and absent with the subprotocols `cloudevents.json` " +
        "and `cloudevents.cbor`. The same events come as server-sent events to whoever accepts `text/event-stream`.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    defaultContentType: "application/json",
    servers: {
      local: { host: "127.0.0.1:8080", protocol: "ws", description: "A service on this machine." },
    },
    channels: {
      events: {
        address: EVENTS_PATH,
        title: "Events",
        description: `Subprotocols: ${SUBPROTOCOLS.map((name) => `\`${name}\``).join(", ")}, or none.`,
        servers: [ref("servers/local")],
        messages: Object.fromEntries(
          [...sent, "Subscribe"].map((name) => [name, ref(`components/messages/${name}`)]),
        ),
        bindings: {
          ws: {
            method: "GET",
            query: {
              type: "object",
              properties: {
                call: { type: "string", description: "Call ids, separated by commas." },
                participant: { type: "string", description: "Participant ids, separated by commas." },
                kinds: { type: "string", description: `Of: ${EVENT_KINDS.join(", ")}; separated by commas.` },
                label: { type: "string", description: "Labels of expressions, separated by commas." },
                minConfidence: { type: "string", description: "Of expressions, 0–1." },
                filter: { type: "string", description: "The filter as JSON, instead of the others." },
                after: { type: "string", description: "A position: begin with what came after it." },
              },
              additionalProperties: false,
            },
            bindingVersion: "0.1.0",
          },
        },
      },
    },
    operations: {
      sendEvents: {
        action: "send",
        channel: ref("channels/events"),
        summary: "The service tells what happens.",
        messages: sent.map(channelMessage),
      },
      receiveSubscribe: {
        action: "receive",
        channel: ref("channels/events"),
        summary: "A client changes its filter.",
        messages: [channelMessage("Subscribe")],
      },
    },
    components: {
      messages: { ...eventMessages, ...controlMessages, Subscribe: subscribe },
      schemas: {
        ...Object.fromEntries(EVENT_KINDS.map((kind) => [pascal(kind), jsonSchema(EVENT_SCHEMAS[kind])])),
        ...Object.fromEntries(
          Object.entries(CONTROL_SCHEMAS).map(([name, schema]) => [pascal(name), jsonSchema(schema)]),
        ),
        Subscribe: jsonSchema(clientMessageSchema),
      },
    },
  };
}
