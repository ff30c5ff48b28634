/** Alert rules and standing alerts over HTTP. Judging is insight/; the events are schema.ts. */
import { z } from "zod";
import { jsonBody, jsonResponse } from "./http-route.ts";
import type { HttpServer } from "./http-server.ts";
import type { EventHub } from "./hub.ts";
import { addressedRuleSchema, alertRuleSchema } from "./insight/alert-rule.ts";
import type { AlertRules } from "./insight/alert-rules.ts";
import { type AnyOperation, operation } from "./operation.ts";
import { alertSchema } from "./view-schema.ts";

const rule = alertRuleSchema
  .describe("An alert rule with every default filled in.")
  .meta({ id: "AlertRule" });
const newRule = alertRuleSchema.describe("An alert rule.").meta({ id: "NewAlertRule" });
const ruleOfAddress = addressedRuleSchema
  .describe("An alert rule; `id` is that of the address.")
  .meta({ id: "ChangedAlertRule" });

const RULES = "/v1/alerts/rules";
const RULE = {
  tag: "alerts",
  path: `${RULES}/:ruleId`,
  params: { ruleId: "The rule." },
  // Rules hold for all calls: whoever sees or changes them is the operator.
  access: "admin",
} as const;

const listAlerts = operation({
  id: "listAlerts",
  tag: "alerts",
  method: "GET",
  path: "/v1/alerts",
  access: "events:read",
  summary: "Alerts that stand",
  answers: {
    200: {
      meaning: "As in `alert.raised` events.",
      schema: z.object({ alerts: z.array(alertSchema) }),
    },
  },
});

const listRules = operation({
  id: "listAlertRules",
  tag: "alerts",
  method: "GET",
  path: RULES,
  access: "admin",
  summary: "Alert rules in force",
  answers: {
    200: {
      meaning: "Those of the configuration, and those made here.",
      schema: z.object({ rules: z.array(rule) }),
    },
  },
});

const addRule = operation({
  id: "addAlertRule",
  tag: "alerts",
  method: "POST",
  path: RULES,
  access: "admin",
  summary: "Add an alert rule",
  description: "It is in force until the service ends: to keep it, put it into the configuration.",
  body: newRule,
  checksItself: true,
  answers: {
    201: { meaning: "The rule.", schema: rule, headers: { location: "Where it is." } },
  },
  problems: ["conflict", "overloaded"],
});

const getRule = operation({
  ...RULE,
  id: "getAlertRule",
  method: "GET",
  summary: "One alert rule",
  answers: { 200: { meaning: "The rule.", schema: rule } },
  problems: ["not-found"],
});

const putRule = operation({
  ...RULE,
  id: "putAlertRule",
  method: "PUT",
  summary: "Add or replace an alert rule",
  description: "Alerts that the old rule raised are cleared.",
  body: ruleOfAddress,
  checksItself: true,
  answers: {
    200: { meaning: "It took the place of the one before.", schema: rule },
    201: { meaning: "It is new.", schema: rule },
  },
  problems: ["overloaded"],
});

const removeRule = operation({
  ...RULE,
  id: "removeAlertRule",
  method: "DELETE",
  summary: "Remove an alert rule",
  answers: { 204: { meaning: "It is gone, and its alerts are cleared." } },
  problems: ["not-found"],
});

export const alertOperations: readonly AnyOperation[] = [
  listAlerts,
  listRules,
  addRule,
  getRule,
  putRule,
  removeRule,
];

export function addAlertRoutes(http: HttpServer, hub: EventHub, rules: AlertRules): void {
  http.serve(listAlerts, ({ caller }) => {
    const calls = hub.calls().filter(({ callId }) => caller.may("events:read", callId));
    return jsonResponse({
      alerts: calls.flatMap(({ participants }) => participants).flatMap(({ alerts }) => alerts),
    });
  });
  http.serve(listRules, () => jsonResponse({ rules: rules.list() }));
  http.serve(addRule, (request) => {
    const added = rules.add(jsonBody(request));
    const response = jsonResponse(added, 201);
    return { ...response, headers: { ...response.headers, location: `${RULES}/${added.id}` } };
  });
  http.serve(getRule, ({ params }) => jsonResponse(rules.get(params.ruleId ?? "")));
  http.serve(putRule, (request) => {
    const { rule: put, existed } = rules.set(request.params.ruleId ?? "", jsonBody(request));
    return jsonResponse(put, existed ? 200 : 201);
  });
  http.serve(removeRule, ({ params }) => {
    rules.remove(params.ruleId ?? "");
    return { status: 204 };
  });
}
