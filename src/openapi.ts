/**
 * The REST API as an OpenAPI 3.1 document, read off the operations that are served and the schemas that check requests.
 * scripts/generate-openapi.ts writes it down, the service serves it. Events are events/asyncapi.ts.
 */
import { STATUS_CODES } from "node:http";
import { z } from "zod";
import { STATUS } from "./core/problem.ts";
import {
  type AnyOperation,
  alertOperations,
  type Json,
  listenToEvents,
  problemSchema,
  serviceOperations,
  webhookOperations,
} from "./events/index.ts";
import { mediaOperations, mediaUpgrades } from "./media-door.ts";
import { modelOperations } from "./model-routes.ts";
import { scrapeMetrics } from "./observability/index.ts";
import { pageOperations, whipOperations } from "./page-routes.ts";
import { participantOperations } from "./participant-routes.ts";
import { rtpOperations } from "./rtp-routes.ts";

type JsonObject = Readonly<Record<string, Json>>;

/** All that a service answers, in the order of the document. */
export const restOperations: readonly AnyOperation[] = [
  ...serviceOperations,
  scrapeMetrics,
  ...participantOperations,
  ...rtpOperations,
  ...whipOperations,
  ...mediaOperations,
  ...mediaUpgrades,
  listenToEvents,
  ...alertOperations,
  ...webhookOperations,
  ...modelOperations,
  ...pageOperations,
];

const TAGS: Readonly<Record<string, string>> = {
  service: "How the service is.",
  calls: "Calls that go on.",
  participants: "Who is in them: consent, pauses, priority.",
  media: "How audio comes in.",
  events: "What is heard.",
  alerts: "Rules, and alerts that stand.",
  webhooks: "Events sent by HTTP.",
  models: "What judges voices.",
  description: "The API's own description.",
  page: "The dashboard.",
};

/** What the REST API is called and how it is versioned: the first number changes when a client must. */
const VERSION = "1.0.0";

export interface OpenApiOptions {
  /** For tests: answers may hold nothing that is not described. Clients must expect new fields. */
  readonly closed?: boolean;
}

export function openApiDocument(options: OpenApiOptions = {}): JsonObject {
  const schemas = new Schemas(restOperations, options);
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of restOperations) {
    const path = templateOf(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(operation, schemas) };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "Tonetap REST API",
      version: VERSION,
      summary: "Who is in which call, who agreed to be analysed, and how the service does.",
      description:
        "Which emotion each voice of a live call expresses comes as events: see `/docs` and `/docs/asyncapi.json`. " +
        "Refusals are problem documents (RFC 9457). New fields may come in answers: ignore what you do not know.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The service that says this." }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: schemas.components,
      responses: problemResponses(),
      securitySchemes: {
        key: {
          type: "http",
          scheme: "bearer",
          description: "An API key or a JWT; on loopback without either, nothing. docs/security.md.",
        },
      },
    },
  };
}

/** Every schema of every operation, named ones once, under `components`. */
class Schemas {
  readonly components: JsonObject;
  readonly #places: Readonly<Record<string, JsonObject>>;

  constructor(operations: readonly AnyOperation[], { closed = false }: OpenApiOptions) {
    const taken: Record<string, z.ZodType> = {};
    const given: Record<string, z.ZodType> = { problem: problemSchema };
    for (const { id, body, query, answers } of operations) {
      if (body !== undefined) taken[`${id} body`] = body;
      if (query !== undefined) taken[`${id} query`] = query;
      for (const [status, { schema }] of Object.entries(answers)) {
        if (schema !== undefined) given[`${id} ${status}`] = schema;
      }
    }
    const inputs = jsonSchemas(taken, "input", true);
    const outputs = jsonSchemas(given, "output", closed);
    this.components = { ...outputs.named, ...inputs.named };
    this.#places = { ...outputs.places, ...inputs.places };
  }

  of(place: string): JsonObject {
    return this.#places[place] ?? {};
  }
}

/** One conversion for all of them, so that what several share stands there once. */
function jsonSchemas(
  schemas: Readonly<Record<string, z.ZodType>>,
  io: "input" | "output",
  closed: boolean,
): { readonly named: JsonObject; readonly places: Readonly<Record<string, JsonObject>> } {
  const { $defs = {}, properties = {} } = z.toJSONSchema(z.object(schemas), {
    io,
    target: "draft-2020-12",
    override: ({ jsonSchema }) => {
      if (!closed && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      // What JSON Schema says of any whole number, and of any key, tells nothing.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.propertyNames !== undefined) delete jsonSchema.propertyNames;
    },
  });
  const text = JSON.stringify({ named: $defs, places: properties });
  return JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/'));
}

function describe(operation: AnyOperation, schemas: Schemas): JsonObject {
  const { id, tag, summary, description, params = {}, body, text, access, asks } = operation;
  const right = asks ?? (access === "public" ? undefined : access);
  const query = schemas.of(`${id} query`);
  const parameters = [
    ...namesIn(operation.path).map((name) => ({
      name,
      in: "path",
      required: true,
      description: params[name] ?? "The rest of the path.",
      schema: { type: "string" },
    })),
    ...Object.entries((query.properties ?? {}) as Readonly<Record<string, JsonObject>>).map(
      ([name, { description: meaning = "", ...schema }]) => ({
        name,
        in: "query",
        description: meaning,
        schema,
      }),
    ),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: schemas.of(`${id} body`) } },
          },
        }),
    ...(text === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            description: text.meaning,
            content: { [text.contentType]: { schema: { type: "string" } } },
          },
        }),
    responses: responsesOf(operation, schemas),
    // Without keys the service asks nobody: the empty requirement.
    security: right === undefined ? [] : [{ key: [right] }, {}],
  };
}

function responsesOf({ id, answers, ...operation }: AnyOperation, schemas: Schemas): JsonObject {
  const described = Object.entries(answers).map(
    ([status, { meaning, schema, contentType, headers = {} }]) => [
      status,
      {
        description: meaning,
        ...(Object.keys(headers).length === 0
          ? {}
          : {
              headers: Object.fromEntries(
                Object.entries(headers).map(([name, says]) => [
                  name,
                  { description: says, schema: { type: "string" } },
                ]),
              ),
            }),
        ...(schema === undefined
          ? {}
          : { content: { [contentType ?? "application/json"]: { schema: schemas.of(`${id} ${status}`) } } }),
      },
    ],
  );
  const refused = [...refusalsOf(operation)].map((status) => [
    status,
    { $ref: `#/components/responses/Problem${status}` },
  ]);
  return Object.fromEntries([...described, ...refused]);
}

/** Statuses that the operation may refuse with. */
function refusalsOf({
  access,
  asks,
  body,
  query,
  text,
  problems = [],
}: Omit<AnyOperation, "id" | "answers">): Set<number> {
  const statuses = new Set(problems.map((code) => (typeof code === "number" ? code : STATUS[code])));
  // Host and Origin are looked at everywhere, and so is the address.
  for (const status of [400, 403, 500]) statuses.add(status);
  if (access !== "public" || asks !== undefined) for (const status of [401, 429, 503]) statuses.add(status);
  if (body !== undefined || text !== undefined) statuses.add(413);
  if (text !== undefined) statuses.add(415);
  if (query !== undefined) statuses.add(400);
  return new Set([...statuses].sort((a, b) => a - b));
}

const MEANING: Readonly<Record<number, string>> = {
  400: "Something in the request is not right; `detail` names it.",
  401: "No key or token that is good here.",
  403: "The key lacks the right, the policy in force forbids it, or Host or Origin is not allowed.",
  404: "There is no such thing, or it is not for this caller to know.",
  406: "It comes in no form that `Accept` allows.",
  409: "Not possible in this state.",
  412: "`If-Match` names another ICE session than the one in force.",
  413: "The body is too long.",
  415: "The body is of another type.",
  422: "The media cannot be decoded.",
  428: "`If-Match` is missing.",
  429: "This caller asks too often.",
  500: "A defect of the service.",
  503: "A limit is reached, or what this needs is not there now.",
};

function problemResponses(): JsonObject {
  return Object.fromEntries(
    Object.entries(MEANING).map(([status, meaning]) => [
      `Problem${status}`,
      {
        description: `${STATUS_CODES[Number(status)]}. ${meaning}`,
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    ]),
  );
}

/** `/calls/:id` → `/calls/{id}`; the rest of a path → `{path}`. */
export const templateOf = (pattern: string): string =>
  pattern.replace(/:(\w+)/g, "{$1}").replace(/\*$/, "{path}");

const namesIn = (pattern: string): string[] =>
  [...templateOf(pattern).matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
