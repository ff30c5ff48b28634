/** All targets of webhooks, and what may be seen of them over HTTP. Delivering to one is webhook-sink.ts. */
import type { Subscription } from "rxjs";
import { type Clock, systemClock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import { jsonResponse } from "../http-route.ts";
import type { HttpServer } from "../http-server.ts";
import type { EventHub } from "../hub.ts";
import { WebhookSink } from "./webhook-sink.ts";
import { parseWebhookTarget } from "./webhook-target.ts";

export class Webhooks implements Closable {
  readonly #sinks = new Map<string, WebhookSink>();
  readonly #withdrawals: Subscription;

  /** @throws TonetapError invalid-argument for a target that is wrong, conflict for an id given twice */
  constructor(hub: EventHub, targets: readonly unknown[], clock: Clock = systemClock) {
    const parsed = targets.map(parseWebhookTarget);
    const twice = parsed.find(({ id }, i) => parsed.findIndex((other) => other.id === id) !== i);
    if (twice !== undefined) throw new TonetapError("conflict", `there are two webhook targets ${twice.id}`);
    for (const target of parsed) this.#sinks.set(target.id, new WebhookSink(target, hub, clock));
    this.#withdrawals = hub.events$.subscribe((event) => {
      if (event.type !== "tonetap.participant.paused" || event.data.reason !== "consent-withdrawn") return;
      for (const { deadLetters } of this.#sinks.values()) deadLetters.forget(event.data);
    });
  }

  list(): WebhookSink[] {
    return [...this.#sinks.values()];
  }

  /** @throws TonetapError not-found */
  get(id: string): WebhookSink {
    const sink = this.#sinks.get(id);
    if (sink === undefined) throw new TonetapError("not-found", "there is no such webhook target");
    return sink;
  }

  async close(): Promise<void> {
    this.#withdrawals.unsubscribe();
    await Promise.all(this.list().map((sink) => sink.close()));
  }
}

/**
 * - `GET /v1/webhooks`: targets and how they do; never their secrets.
 * - `GET`, `DELETE /v1/webhooks/:id/dead-letters`: shows, throws away what a target never took.
 * - `POST /v1/webhooks/:id/dead-letters/redeliver`: tries them again, 202.
 */
export function addWebhookRoutes(http: HttpServer, webhooks: Webhooks): void {
  const sinkOf = ({ params }: { readonly params: Readonly<Record<string, string>> }): WebhookSink =>
    webhooks.get(params.id ?? "");
  http.route("GET", "/v1/webhooks", () => {
    const shown = webhooks.list().map(({ target: { id, url, filter }, stats }) => ({
      id,
      // A path or a query may be a secret too: many services give addresses that are.
      origin: url.origin,
      filter,
      ...stats,
    }));
    return jsonResponse({ webhooks: shown });
  });
  http.route("GET", "/v1/webhooks/:id/dead-letters", (request) => {
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
  http.route("DELETE", "/v1/webhooks/:id/dead-letters", (request) => {
    sinkOf(request).deadLetters.clear();
    return { status: 204 };
  });
  http.route("POST", "/v1/webhooks/:id/dead-letters/redeliver", (request) =>
    jsonResponse({ redelivering: sinkOf(request).redeliver() }, 202),
  );
}
