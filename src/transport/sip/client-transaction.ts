/** A request of ours (BYE) until it is answered or given up: the non-INVITE client transaction of RFC 3261 §17.1.2. */
import type { Clock } from "../../core/clock.ts";
import type { SipPath } from "./server-transactions.ts";
import { GIVE_UP_MS, T1_MS, T2_MS } from "./sip-timing.ts";

export interface ClientTransactionOptions {
  readonly clock: Clock;
  readonly path: SipPath;
  readonly message: Uint8Array;
  /** Runs once, with the final status, or with undefined when none came. */
  readonly onEnd: (status: number | undefined) => void;
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
    // Timers E and F.
    if (!path.reliable) this.#repeat(T1_MS);
    this.#cancelEnd = clock.schedule(GIVE_UP_MS, () => this.#end(undefined));
  }

  /** A response to it has come. */
  receive(status: number): void {
    if (status < 200) this.#proceeding = true;
    else this.#end(status);
  }

  /** Gives it up. */
  close(): void {
    this.#end(undefined);
  }

  #repeat(delayMs: number): void {
    const { clock, path, message } = this.#options;
    this.#cancelRepeat = clock.schedule(delayMs, () => {
      path.send(message);
      // RFC 3261 §17.1.2.2: whoever is working on it is asked every T2.
      this.#repeat(this.#proceeding ? T2_MS : Math.min(2 * delayMs, T2_MS));
    });
  }

  #end(status: number | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelRepeat?.();
    this.#cancelEnd();
    this.#options.onEnd(status);
  }
}
