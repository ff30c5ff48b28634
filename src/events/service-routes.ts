/** The routes that tell of events: health, what is live, and the protocol's own description. */
import { createHash } from "node:crypto";
import type { Caller } from "../core/caller.ts";
import { TonetapError } from "../core/errors.ts";
import { qualifiedCallId } from "../core/tenant.ts";
import { asyncApiDocument } from "./asyncapi.ts";
import { DOCS_STYLE, docsPage } from "./docs-page.ts";
import { type HttpHandler, jsonResponse } from "./http-route.ts";
import type { HttpServer } from "./http-server.ts";
import type { EventHub } from "./hub.ts";

export interface ServiceRoutesOptions {
  readonly hub: EventHub;
  /** Undefined when calls can be taken; else why not, in words. */
  readonly notReady?: () => string | undefined;
}

/**
 * - `GET /healthz`: 200 while the process answers.
 * - `GET /readyz`: 200 when calls can be taken, else 503 with the reason.
 * - `GET /v1/calls`, `GET /v1/calls/:callId`: what is live, as in a snapshot.
 * - `GET /docs`: the event protocol for people; `GET /docs/asyncapi.json`: for programs, AsyncAPI 3.
 */
export function addServiceRoutes(http: HttpServer, { hub, notReady }: ServiceRoutesOptions): void {
  http.route("GET", "/healthz", () => jsonResponse({ status: "ok" }), { access: "public" });
  const readyz: HttpHandler = () => {
    const reason = notReady?.();
    if (reason !== undefined) throw new TonetapError("unavailable", reason);
    return jsonResponse({ status: "ready" });
  };
  http.route("GET", "/readyz", readyz, { access: "public" });
  const seenBy = (caller: Caller) => hub.calls().filter(({ callId }) => caller.may("events:read", callId));
  const calls: HttpHandler = ({ caller }) => jsonResponse({ calls: seenBy(caller) });
  http.route("GET", "/v1/calls", calls, { access: "events:read" });
  const call: HttpHandler = ({ params, caller }) => {
    const wanted = qualifiedCallId(params.callId ?? "", caller.tenant);
    const found = seenBy(caller).find(({ callId }) => callId === wanted);
    // Of a call that is not for this caller too: it does not learn that it exists.
    if (found === undefined) throw new TonetapError("not-found", "there is no such call now");
    return jsonResponse(found);
  };
  http.route("GET", "/v1/calls/:callId", call, { access: "events:read" });
  const document = asyncApiDocument();
  const page = unchanging("text/html; charset=utf-8", docsPage(document));
  const pages: readonly [string, HttpHandler][] = [
    ["/docs/asyncapi.json", unchanging("application/json", JSON.stringify(document))],
    ["/docs/docs.css", unchanging("text/css; charset=utf-8", DOCS_STYLE)],
    ...["/docs", "/docs/"].map((path): [string, HttpHandler] => [path, page]),
  ];
  // The protocol is no secret; what is spoken over it asks for a key.
  for (const [path, handler] of pages) http.route("GET", path, handler, { access: "public" });
}

/** A text that lasts as long as the process: revalidated by ETag. */
function unchanging(contentType: string, body: string): HttpHandler {
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`;
  const headers = { "content-type": contentType, "cache-control": "no-cache", etag };
  return (request) =>
    request.headers["if-none-match"] === etag ? { status: 304, headers } : { headers, body };
}
