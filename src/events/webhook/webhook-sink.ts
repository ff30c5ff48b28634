/**
 * Delivers events to one target, one at a time and in order: signed, tried again with growing pauses, given up as dead
 * letters. What a target is webhook-target.ts; all of them together are webhooks.ts.
 */
import { type Clock, sleep } from "../../core/clock.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { EventSubscription } from "../event-subscription.ts";
import type { EventHub } from "../hub.ts";
import type { PublishedEvent } from "../published-event.ts";
import { DeadLetters } from "./dead-letters.ts";
import { signWebhook } from "./signature.ts";
import type { WebhookTarget } from "./webhook-target.ts";

export interface WebhookStats {
  /** `disabled`: the target answered 410 Gone; nothing is sent any more. */
  readonly state: "idle" | "delivering" | "retrying" | "disabled";
  readonly delivered: number;
  /** Attempts that failed. */
  readonly failures: number;
  /** Waiting now. */
  readonly pending: number;
  /** Given up because too many waited. */
  readonly dropped: number;
  readonly deadLetters: number;
  /** What the latest failed attempt met. */
  readonly lastFailure?: string;
}

/** How an attempt ended: taken, worth another one (after so many ms at least), or never. */
type Outcome =
  | { readonly kind: "taken" }
  | { readonly kind: "again"; readonly reason: string; readonly afterMs: number }
  | { readonly kind: "never"; readonly reason: string }
  | { readonly kind: "gone" };

export class WebhookSink implements Closable {
  readonly target: WebhookTarget;
  readonly deadLetters: DeadLetters;
  readonly #clock: Clock;
  readonly #subscription: EventSubscription;
  /** Dead letters that somebody wants to be tried again. */
  #again: PublishedEvent[] = [];
  readonly #abort = new AbortController();
  #working: Promise<void> | undefined;
  #retrying = false;
  #disabled = false;
  #closing = false;
  #delivered = 0;
  #failures = 0;
  #lastFailure: string | undefined;

  constructor(target: WebhookTarget, hub: EventHub, clock: Clock) {
    this.target = target;
    this.#clock = clock;
    this.deadLetters = new DeadLetters(clock);
    const { filter, queueLimit } = target;
    this.#subscription = hub.subscribe({ filter, queueLimit, snapshot: false }, () => this.#wake());
  }

  get stats(): WebhookStats {
    return {
      state: this.#disabled
        ? "disabled"
        : this.#working === undefined
          ? "idle"
          : this.#retrying
            ? "retrying"
            : "delivering",
      delivered: this.#delivered,
      failures: this.#failures,
      pending: this.#subscription.pending + this.#again.length,
      dropped: this.#subscription.dropped,
      deadLetters: this.deadLetters.list().length,
      ...(this.#lastFailure === undefined ? {} : { lastFailure: this.#lastFailure }),
    };
  }

  /** Tries all dead letters again, before what is new. @returns how many */
  redeliver(): number {
    const letters = this.deadLetters.clear();
    this.#disabled = false;
    this.#again.push(...letters.map(({ published }) => published));
    this.#wake();
    return letters.length;
  }

  /** Delivers what is pending, within `graceMs`; who is waiting for a target that failed does not wait. */
  async close(graceMs = 2_000): Promise<void> {
    this.#closing = true;
    this.#subscription.close();
    if (this.#retrying) this.#abort.abort();
    const cancel = this.#clock.schedule(graceMs, () => this.#abort.abort());
    await this.#working;
    cancel();
    this.#abort.abort();
  }

  #wake(): void {
    if (this.#disabled || this.#abort.signal.aborted) return;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    for (;;) {
      if (this.#disabled || this.#abort.signal.aborted) return;
      const published = this.#again.shift() ?? this.#subscription.take();
      if (published === undefined) return;
      await this.#deliver(published);
    }
  }

  async #deliver(published: PublishedEvent): Promise<void> {
    const { maxAttempts } = this.target;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(published);
      if (outcome.kind === "taken") {
        this.#delivered++;
        return;
      }
      this.#failures++;
      this.#lastFailure = outcome.kind === "gone" ? "410" : outcome.reason;
      if (outcome.kind === "gone") {
        this.#disabled = true;
        this.#subscription.close();
      }
      if (outcome.kind !== "again" || attempt === maxAttempts || this.#closing) {
        this.deadLetters.add(published, attempt, this.#lastFailure);
        return;
      }
      this.#retrying = true;
      const rested = await this.#rest(attempt, outcome.afterMs);
      this.#retrying = false;
      if (!rested) {
        this.deadLetters.add(published, attempt, this.#lastFailure);
        return;
      }
    }
  }

  /** @returns false when it is closed meanwhile */
  async #rest(attempt: number, afterMs: number): Promise<boolean> {
    const { firstRetryMs, maxRetryMs } = this.target;
    // Half of the pause is by chance: targets that were down together are not asked together.
    const pauseMs = Math.min(maxRetryMs, firstRetryMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
    return sleep(this.#clock, Math.min(maxRetryMs, Math.max(pauseMs, afterMs)), this.#abort.signal).then(
      () => true,
      () => false,
    );
  }

  async #attempt({ event, json }: PublishedEvent): Promise<Outcome> {
    const { url, keys, timeoutMs } = this.target;
    const timestampS = Math.floor(this.#clock.wall() / 1000);
    const timeout = new AbortController();
    const cancel = this.#clock.schedule(timeoutMs, () => timeout.abort());
    try {
      const response = await fetch(url, {
        method: "POST",
        body: new Uint8Array(json),
        // A target's redirect would let it choose whom we call.
        redirect: "manual",
        signal: AbortSignal.any([timeout.signal, this.#abort.signal]),
        headers: {
          "content-type": "application/cloudevents+json",
          "webhook-id": event.id,
          "webhook-timestamp": String(timestampS),
          "webhook-signature": signWebhook(keys, event.id, timestampS, json),
        },
      });
      // Nobody reads what a target says, and it may say much.
      await response.body?.cancel();
      return outcomeOf(response);
    } catch (error) {
      const reason = timeout.signal.aborted ? "timeout" : reasonOf(error);
      return { kind: "again", reason, afterMs: 0 };
    } finally {
      cancel();
    }
  }
}

/** Statuses that ask for patience are tried again; the others say that this request will never do. */
function outcomeOf({ status, ok, headers }: Response): Outcome {
  if (ok) return { kind: "taken" };
  if (status === 410) return { kind: "gone" };
  if (status !== 408 && status !== 425 && status !== 429 && status < 500) {
    return { kind: "never", reason: String(status) };
  }
  // RFC 9110 §10.2.3: seconds; of dates we know nothing.
  const seconds = Number(headers.get("retry-after") ?? 0);
  return { kind: "again", reason: String(status), afterMs: Number.isFinite(seconds) ? 1000 * seconds : 0 };
}

/** `ECONNREFUSED` rather than `fetch failed`. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  return error instanceof Error ? error.name : "failed";
}
