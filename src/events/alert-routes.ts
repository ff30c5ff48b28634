/** Alert rules and standing alerts over HTTP. Judging is insight/; the events are schema.ts. */
import { type HttpHandler, jsonBody, jsonResponse } from "./http-route.ts";
import type { HttpServer } from "./http-server.ts";
import type { EventHub } from "./hub.ts";
import type { AlertRules } from "./insight/alert-rules.ts";

/**
 * - `GET /v1/alerts`: those that stand, as in `alert.raised`.
 * - `GET`, `POST /v1/alerts/rules`: lists, adds (201, or 409 if the id is taken).
 * - `GET`, `PUT`, `DELETE /v1/alerts/rules/:ruleId`: shows, adds or replaces (201 or 200), removes (204).
 *
 * Rules hold for all calls: whoever sees or changes them must be `admin`.
 */
export function addAlertRoutes(http: HttpServer, hub: EventHub, rules: AlertRules): void {
  const standing: HttpHandler = ({ caller }) => {
    const calls = hub.calls().filter(({ callId }) => caller.may("events:read", callId));
    return jsonResponse({
      alerts: calls.flatMap(({ participants }) => participants).flatMap(({ alerts }) => alerts),
    });
  };
  http.route("GET", "/v1/alerts", standing, { access: "events:read" });
  http.route("GET", "/v1/alerts/rules", () => jsonResponse({ rules: rules.list() }));
  http.route("POST", "/v1/alerts/rules", (request) => {
    const rule = rules.add(jsonBody(request));
    const response = jsonResponse(rule, 201);
    return { ...response, headers: { ...response.headers, location: `/v1/alerts/rules/${rule.id}` } };
  });
  http.route("GET", "/v1/alerts/rules/:ruleId", ({ params }) => jsonResponse(rules.get(params.ruleId ?? "")));
  http.route("PUT", "/v1/alerts/rules/:ruleId", (request) => {
    const { rule, existed } = rules.set(request.params.ruleId ?? "", jsonBody(request));
    return jsonResponse(rule, existed ? 200 : 201);
  });
  http.route("DELETE", "/v1/alerts/rules/:ruleId", ({ params }) => {
    rules.remove(params.ruleId ?? "");
    return { status: 204 };
  });
}
