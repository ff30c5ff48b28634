/**
 * How many may listen, and who: the one place that every kind of subscriber passes. Host and Origin are door.ts; what a
 * visitor has to show is up to `authorize`.
 */
import type { IncomingHttpHeaders } from "node:http";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { TonetapEvent } from "./schema.ts";

/** A subscriber that was let in. */
export interface Visitor {
  /** What it may see at all, whatever its filter says. Default: everything. */
  readonly sees?: (event: TonetapEvent) => boolean;
}

/** What a subscriber shows at the door. */
export interface SubscriberRequest {
  readonly headers: IncomingHttpHeaders;
  /** To be changed: what `authorize` has used up is to be deleted, the rest must be a filter. */
  readonly query: URLSearchParams;
}

/**
 * Says who asks.
 * @throws TonetapError policy (403), or whatever else is to be answered
 */
export type Authorize = (request: SubscriberRequest) => Visitor | Promise<Visitor>;

export interface SubscriberGateOptions {
  /** Subscribers at once; one more gets 503. 1–100,000, default 1,000. */
  readonly maxSubscribers?: number;
  /** Default: everybody whom the door lets through. */
  readonly authorize?: Authorize;
}

export class SubscriberGate {
  readonly #limit: number;
  readonly #authorize: Authorize;
  #inside = 0;

  constructor({ maxSubscribers = 1000, authorize = () => ({}) }: SubscriberGateOptions = {}) {
    assertRange("maxSubscribers", maxSubscribers, 1, 100_000);
    this.#limit = maxSubscribers;
    this.#authorize = authorize;
  }

  /** Subscribers now, those being let in included. */
  get inside(): number {
    return this.#inside;
  }

  /**
   * Takes a place. Give it back with `leave()`, once.
   * @throws TonetapError overloaded, and what `authorize` throws
   */
  async enter(request: SubscriberRequest): Promise<Visitor & { readonly leave: () => void }> {
    if (this.#inside >= this.#limit) {
      throw new TonetapError("overloaded", `all ${this.#limit} subscriber places are taken`);
    }
    this.#inside++;
    let here = true;
    const leave = (): void => {
      if (here) this.#inside--;
      here = false;
    };
    try {
      return { ...(await this.#authorize(request)), leave };
    } catch (error) {
      leave();
      throw error;
    }
  }
}
