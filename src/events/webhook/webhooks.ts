/** All targets of webhooks. Delivering to one is webhook-sink.ts, what may be seen of them over HTTP webhook-routes.ts. */
import type { Subscription } from "rxjs";
import { type Clock, systemClock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
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
