/** Keeps one call's session timer (RFC 4028): refreshes when that is ours to do, tells when nobody has. Terms are session-terms.ts. */
import { randomInt } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { deltaSeconds, readSessionExpires, type SessionTerms } from "./session-terms.ts";
import { headerOf, type SipResponse } from "./sip-message.ts";
import type { HeaderFields } from "./sip-request.ts";

/** RFC 4028 §10: whoever waits for a refresh gives up this long before the end, but not before two thirds, s. */
const MARGIN_S = 32;
/** RFC 3261 §14.1: after 491 the side that did not make the Call-ID waits up to so long, ms. */
const GLARE_MS = 2_000;
/** Timers take 31 bits of ms. */
const MAX_SECONDS = 2_000_000;

export interface SessionKeeperOptions {
  readonly clock: Clock;
  /** Sends a refresh with these header fields; gives the final response, or undefined when none came. Never rejects. */
  readonly refresh: (fields: HeaderFields) => Promise<SipResponse | undefined>;
  /** The peer has gone. Runs at most once between two agreements. */
  readonly onExpired: () => void;
}

export class SessionKeeper {
  readonly #options: SessionKeeperOptions;
  #cancelRefresh: (() => void) | undefined;
  #cancelEnd: (() => void) | undefined;
  /** Rises with each agreement: an answer to a refresh of before has nothing to say. */
  #generation = 0;

  constructor(options: SessionKeeperOptions) {
    this.#options = options;
  }

  /** A request was agreed to, and with it these terms; none end the timer. */
  agree(terms: Pick<SessionTerms, "seconds" | "refresher"> | undefined): void {
    this.close();
    if (terms === undefined) return;
    const { clock, onExpired } = this.#options;
    const seconds = Math.min(terms.seconds, MAX_SECONDS);
    this.#cancelEnd = clock.schedule(1000 * (seconds - Math.min(MARGIN_S, seconds / 3)), onExpired);
    // RFC 4028 §7.2: half of the interval is when a refresh is due.
    if (terms.refresher === "us") this.#plan(500 * seconds, seconds, undefined);
  }

  close(): void {
    this.#generation++;
    this.#cancelRefresh?.();
    this.#cancelEnd?.();
  }

  #plan(delayMs: number, seconds: number, minSe: number | undefined): void {
    const send = (): void => void this.#refresh(seconds, minSe);
    this.#cancelRefresh = this.#options.clock.schedule(delayMs, send);
  }

  async #refresh(seconds: number, minSe: number | undefined): Promise<void> {
    const generation = this.#generation;
    // We send it, so that in its words we are the client.
    const response = await this.#options.refresh({
      Supported: "timer",
      "Session-Expires": `${seconds};refresher=uac`,
      ...(minSe === undefined ? {} : { "Min-SE": String(minSe) }),
    });
    if (generation !== this.#generation) return;
    if (response === undefined || response.status === 408 || response.status === 481) {
      // RFC 4028 §10: the peer has no such call, or is not there.
      this.close();
      this.#options.onExpired();
    } else if (response.status < 300) this.agree(termsOf(response));
    else if (response.status === 422) {
      const least = deltaSeconds(headerOf(response, "Min-SE") ?? "") ?? 0;
      // What asks for less than was offered would ask for ever.
      if (least > seconds) void this.#refresh(least, least);
    } else if (response.status === 491) this.#plan(randomInt(GLARE_MS), seconds, minSe);
    // Anything else leaves the session as it is, and that ends by itself.
  }
}

/** What the peer's 2xx says: without Session-Expires it keeps no timer (§7.2). */
function termsOf(response: SipResponse): Pick<SessionTerms, "seconds" | "refresher"> | undefined {
  const agreed = readSessionExpires(response);
  if (agreed === undefined || agreed === "unreadable" || agreed.seconds === 0) return undefined;
  return { seconds: agreed.seconds, refresher: agreed.refresher === "uas" ? "peer" : "us" };
}
