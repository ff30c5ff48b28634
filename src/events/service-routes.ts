/** The routes that tell of events: health, what is live, and the API's own description. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Caller } from "../core/caller.ts";
import { TonetapError } from "../core/errors.ts";
import { qualifiedCallId } from "../core/tenant.ts";
import { asyncApiDocument, type Json } from "./asyncapi.ts";
import { DOCS_STYLE, docsPage } from "./docs-page.ts";
import { type HttpRequest, type HttpResponse, jsonResponse } from "./http-route.ts";
import type { HttpServer } from "./http-server.ts";
import type { EventHub } from "./hub.ts";
import { type AnyOperation, operation } from "./operation.ts";
import { restPage } from "./rest-page.ts";
import { callViewSchema } from "./view-schema.ts";

export interface ServiceRoutesOptions {
  readonly hub: EventHub;
  /** Undefined when calls can be taken; else why not, in words. */
  readonly notReady?: () => string | undefined;
  /** What runs the model, one a worker. Default: nothing is told of it. */
  readonly backends?: () => readonly ServingBackend[];
  /** The OpenAPI document of all that is served. */
  readonly openApi: Readonly<Record<string, Json>>;
}

/** What a probe may know of who runs the model. */
export interface ServingBackend {
  /** Execution provider in use, or the server asked. */
  readonly provider: string;
  readonly device: string;
  readonly state: string;
}

const health = operation({
  id: "getHealth",
  tag: "service",
  method: "GET",
  path: "/healthz",
  access: "public",
  summary: "Whether the process answers",
  answers: { 200: { meaning: "It does.", schema: z.object({ status: z.literal("ok") }) } },
});

const readiness = operation({
  id: "getReadiness",
  tag: "service",
  method: "GET",
  path: "/readyz",
  access: "public",
  summary: "Whether calls can be taken",
  answers: {
    200: {
      meaning: "They can.",
      schema: z.object({
        status: z.literal("ready"),
        backends: z
          .array(
            z.object({
              provider: z.string().describe("Execution provider in use, or the server asked."),
              device: z.string().describe("`cpu`, `gpu`, `remote`."),
              state: z.string(),
            }),
          )
          .describe("What runs the model, one a worker."),
      }),
    },
  },
  problems: ["unavailable"],
});

const listCalls = operation({
  id: "listCalls",
  tag: "calls",
  method: "GET",
  path: "/v1/calls",
  access: "events:read",
  summary: "Live calls",
  answers: {
    200: { meaning: "Those that the caller may see.", schema: z.object({ calls: z.array(callViewSchema) }) },
  },
});

export const CALL_PARAMS = {
  callId: "The call. A tenant's own key may leave its `tenant~` out.",
} as const;

const getCall = operation({
  id: "getCall",
  tag: "calls",
  method: "GET",
  path: "/v1/calls/:callId",
  params: CALL_PARAMS,
  access: "events:read",
  summary: "One live call",
  answers: { 200: { meaning: "The call and who is in it.", schema: callViewSchema } },
  problems: ["not-found"],
});

const page = (
  id: string,
  path: string,
  summary: string,
  contentType: string,
  schema: z.ZodType = z.string(),
) =>
  operation({
    id,
    tag: "description",
    method: "GET",
    path,
    access: "public",
    summary,
    answers: {
      200: {
        meaning: "The document.",
        contentType,
        schema,
        headers: { etag: "For `If-None-Match`: then 304 where nothing changed." },
      },
      304: { meaning: "It is what you have." },
    },
  });

const documentSchema = z.record(z.string(), z.unknown());
const eventsDocument = page(
  "getAsyncApi",
  "/docs/asyncapi.json",
  "The event protocol, AsyncAPI 3",
  "application/json",
  documentSchema,
);
const restDocument = page(
  "getOpenApi",
  "/openapi.json",
  "The REST API, OpenAPI 3.1: this document",
  "application/json",
  documentSchema,
);
const docsStyle = page("getDocsStyle", "/docs/docs.css", "The style of these pages", "text/css");
const eventsPage = page("getEventsPage", "/docs", "The event protocol, for people", "text/html");
const restDocsPage = page("getRestPage", "/docs/rest", "The REST API, for people", "text/html");

export const serviceOperations: readonly AnyOperation[] = [
  health,
  readiness,
  listCalls,
  getCall,
  eventsPage,
  restDocsPage,
  docsStyle,
  eventsDocument,
  restDocument,
];

export function addServiceRoutes(
  http: HttpServer,
  { hub, notReady, backends, openApi }: ServiceRoutesOptions,
): void {
  http.serve(health, () => jsonResponse({ status: "ok" }));
  http.serve(readiness, () => {
    const reason = notReady?.();
    if (reason !== undefined) throw new TonetapError("unavailable", reason);
    const serving = backends?.() ?? [];
    return jsonResponse({
      status: "ready",
      backends: serving.map(({ provider, device, state }) => ({ provider, device, state })),
    });
  });
  const seenBy = (caller: Caller) => hub.calls().filter(({ callId }) => caller.may("events:read", callId));
  http.serve(listCalls, ({ caller }) => jsonResponse({ calls: seenBy(caller) }));
  http.serve(getCall, ({ params, caller }) => {
    const wanted = qualifiedCallId(params.callId ?? "", caller.tenant);
    const found = seenBy(caller).find(({ callId }) => callId === wanted);
    // Of a call that is not for this caller too: it does not learn that it exists.
    if (found === undefined) throw new TonetapError("not-found", "there is no such call now");
    return jsonResponse(found);
  });
  // The protocol is no secret; what is spoken over it asks for a key.
  const asyncApi = asyncApiDocument();
  http.serve(eventsDocument, unchanging("application/json", JSON.stringify(asyncApi)));
  http.serve(restDocument, unchanging("application/json", JSON.stringify(openApi)));
  http.serve(docsStyle, unchanging("text/css; charset=utf-8", DOCS_STYLE));
  const events = unchanging("text/html; charset=utf-8", docsPage(asyncApi));
  http.serve(eventsPage, events);
  http.route("GET", "/docs/", events, { access: "public" });
  http.serve(restDocsPage, unchanging("text/html; charset=utf-8", restPage(openApi)));
}

/** A text that lasts as long as the process: revalidated by ETag. */
function unchanging(contentType: string, body: string): (request: HttpRequest) => HttpResponse {
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`;
  const headers = { "content-type": contentType, "cache-control": "no-cache", etag };
  return (request) =>
    request.headers["if-none-match"] === etag ? { status: 304, headers } : { headers, body };
}
