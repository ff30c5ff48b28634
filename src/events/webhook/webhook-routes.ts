/** What may be seen of webhooks over HTTP, and done about events that a target never took. */
import { z } from "zod";
import { eventFilterSchema } from "../event-filter.ts";
import { jsonResponse } from "../http-route.ts";
import type { HttpServer } from "../http-server.ts";
import { type AnyOperation, operation } from "../operation.ts";
import { count, wallTime } from "../schema-fields.ts";
import type { WebhookSink } from "./webhook-sink.ts";
import type { Webhooks } from "./webhooks.ts";

const webhook = z
  .object({
    id: z.string().describe("As in the configuration."),
    origin: z.string().describe("Where it is; its path and query may be secrets."),
    filter: eventFilterSchema.describe("Which events it gets."),
    state: z
      .enum(["idle", "delivering", "retrying", "disabled"])
      .describe("`disabled`: it answered 410 Gone; redelivering tries again."),
    delivered: count("Events it took."),
    failures: count("Attempts that it did not take."),
    pending: count("Events that wait for it."),
    dropped: count("Events that did not fit the queue."),
    deadLetters: count("Events kept that it never took."),
    lastFailure: z.string().optional().describe("What the last failed attempt met: `503`, `timeout`, …"),
  })
  .describe("A target of webhooks, and how it does.")
  .meta({ id: "Webhook" });

const deadLetter = z
  .object({
    failedAt: wallTime("When it was given up"),
    attempts: count("Attempts."),
    reason: z.string().describe("What the last one met."),
    event: z
      .object({
        id: z.string(),
        source: z.string(),
        type: z.string(),
        subject: z.string(),
        data: z.unknown(),
      })
      .loose()
      .describe("The event, a CloudEvent: see /docs/asyncapi.json."),
  })
  .describe("An event that a target never took.")
  .meta({ id: "DeadLetter" });

const LETTERS = "/v1/webhooks/:id/dead-letters";
const OF_ONE = {
  tag: "webhooks",
  access: "admin",
  params: { id: "The target." },
  problems: ["not-found"],
} as const;

const listWebhooks = operation({
  id: "listWebhooks",
  tag: "webhooks",
  method: "GET",
  path: "/v1/webhooks",
  access: "admin",
  summary: "Webhook targets, and how they do",
  answers: {
    200: { meaning: "Never their secrets.", schema: z.object({ webhooks: z.array(webhook) }) },
  },
});

const listLetters = operation({
  ...OF_ONE,
  id: "listDeadLetters",
  method: "GET",
  path: LETTERS,
  summary: "Events that a target never took",
  answers: {
    200: {
      meaning: "The latest, for an hour, oldest first.",
      schema: z.object({ deadLetters: z.array(deadLetter) }),
    },
  },
});

const clearLetters = operation({
  ...OF_ONE,
  id: "clearDeadLetters",
  method: "DELETE",
  path: LETTERS,
  summary: "Throw them away",
  answers: { 204: { meaning: "None is left." } },
});

const redeliver = operation({
  ...OF_ONE,
  id: "redeliverDeadLetters",
  method: "POST",
  path: `${LETTERS}/redeliver`,
  summary: "Try them again",
  answers: {
    202: {
      meaning: "It is being tried.",
      schema: z.object({ redelivering: count("Events.") }),
    },
  },
});

export const webhookOperations: readonly AnyOperation[] = [
  listWebhooks,
  listLetters,
  clearLetters,
  redeliver,
];

export function addWebhookRoutes(http: HttpServer, webhooks: Webhooks): void {
  const sinkOf = ({ params }: { readonly params: Readonly<Record<string, string>> }): WebhookSink =>
    webhooks.get(params.id ?? "");
  http.serve(listWebhooks, () => {
    const shown = webhooks.list().map(({ target: { id, url, filter }, stats }) => ({
      id,
      // A path or a query may be a secret too: many services give addresses that are.
      origin: url.origin,
      filter,
      ...stats,
    }));
    return jsonResponse({ webhooks: shown });
  });
  http.serve(listLetters, (request) => {
    const letters = sinkOf(request).deadLetters.list();
    return jsonResponse({
      deadLetters: letters.map(({ published, failedAt, attempts, reason }) => ({
        failedAt,
        attempts,
        reason,
        event: published.event,
      })),
    });
  });
  http.serve(clearLetters, (request) => {
    sinkOf(request).deadLetters.clear();
    return { status: 204 };
  });
  http.serve(redeliver, (request) => jsonResponse({ redelivering: sinkOf(request).redeliver() }, 202));
}
