/** The routes that tell of events: health, what is live, and the protocol's own description. */
import { createHash } from "node:crypto";
import { TonetapError } from "../core/errors.ts";
import { asyncApiDocument } from "./asyncapi.ts";
import { jsonResponse } from "./http-route.ts";
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
 * - `GET /docs/asyncapi.json`: the event protocol, AsyncAPI 3.
 */
export function addServiceRoutes(http: HttpServer, { hub, notReady }: ServiceRoutesOptions): void {
  http.route("GET", "/healthz", () => jsonResponse({ status: "ok" }));
  http.route("GET", "/readyz", () => {
    const reason = notReady?.();
    if (reason !== undefined) throw new TonetapError("unavailable", reason);
    return jsonResponse({ status: "ready" });
  });
  http.route("GET", "/v1/calls", () => jsonResponse({ calls: hub.calls() }));
  http.route("GET", "/v1/calls/:callId", ({ params }) => {
    const call = hub.calls().find(({ callId }) => callId === params.callId);
    if (call === undefined) throw new TonetapError("not-found", "there is no such call now");
    return jsonResponse(call);
  });
  const asyncApi = JSON.stringify(asyncApiDocument());
  const etag = `"${createHash("sha256").update(asyncApi).digest("base64url").slice(0, 16)}"`;
  http.route("GET", "/docs/asyncapi.json", ({ headers }) => {
    const common = { "content-type": "application/json", "cache-control": "no-cache", etag };
    return headers["if-none-match"] === etag
      ? { status: 304, headers: common }
      : { headers: common, body: asyncApi };
  });
}
