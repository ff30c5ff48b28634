/** Counts failures in a row and says when to stop asking. Asking again, and when, is its owner's. */
import { assertRange } from "../../core/errors.ts";

/** `open`: not to be asked. `half-open`: one more failure opens it again, one success closes it. */
export type BreakerState = "closed" | "open" | "half-open";

export class CircuitBreaker {
  readonly #threshold: number;
  #failures = 0;
  #state: BreakerState = "closed";

  /** @param threshold failures in a row that open it, 1–1,000 */
  constructor(threshold: number) {
    assertRange("breakerFailures", threshold, 1, 1_000);
    this.#threshold = threshold;
  }

  get state(): BreakerState {
    return this.#state;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#state = "closed";
  }

  /** @returns whether it is open now */
  failed(): boolean {
    this.#failures++;
    if (this.#state === "half-open" || this.#failures >= this.#threshold) this.#state = "open";
    return this.#state === "open";
  }

  /** Whoever is behind it seems to be well again. */
  allowTrial(): void {
    if (this.#state === "open") this.#state = "half-open";
  }
}
