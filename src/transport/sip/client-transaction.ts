/** A request of ours until it is answered or given up: the client transactions of RFC 3261 §17.1. */
import type { Clock } from "../../core/clock.ts";
import type { SipPath } from "./server-transactions.ts";
import type { SipResponse } from "./sip-message.ts";
import { GIVE_UP_MS, T1_MS, T2_MS } from "./sip-timing.ts";

export interface ClientTransactionOptions {
  readonly clock: Clock;
  readonly path: SipPath;
  readonly message: Uint8Array;
  /** An INVITE is not repeated once somebody works on it, and its pauses grow without end (§17.1.1). */
  readonly isInvite?: boolean;
  /** Runs once, with the final response, or with undefined when none came. */
  readonly onEnd: (response: SipResponse | undefined) => void;
}

export class ClientTransaction {
  readonly #options: ClientTransactionOptions;
  #proceeding = false;
  #ended = false;
  #cancelRepeat: (() => void) | undefined;
  readonly #cancelEnd: () => void;

  /** Sends the request. */
  constructor(options: ClientTransactionOptions) {
    this.#options = options;
    const { clock, path, message } = options;
    path.send(message);
    // Timers A and E; B and F.
    if (!path.reliable) this.#repeat(T1_MS);
    this.#cancelEnd = clock.schedule(GIVE_UP_MS, () => this.#end(undefined));
  }

  /** A response to it has come. */
  receive(response: SipResponse): void {
    if (response.status >= 200) this.#end(response);
    else {
      this.#proceeding = true;
      if (this.#options.isInvite === true) this.#cancelRepeat?.();
    }
  }

  /** Gives it up. */
  close(): void {
    this.#end(undefined);
  }

  #repeat(delayMs: number): void {
    const { clock, path, message, isInvite = false } = this.#options;
    this.#cancelRepeat = clock.schedule(delayMs, () => {
      path.send(message);
      // RFC 3261 §17.1.2.2: whoever is working on it is asked every T2.
      const next = this.#proceeding ? T2_MS : 2 * delayMs;
      this.#repeat(isInvite ? next : Math.min(next, T2_MS));
    });
  }

  #end(response: SipResponse | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelRepeat?.();
    this.#cancelEnd();
    this.#options.onEnd(response);
  }
}
