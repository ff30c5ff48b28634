/** Which keys give and take back consent. Where keys come from is transport; what follows is participant.ts. */
import type { Clock } from "./core/clock.ts";
import type { LineConsent } from "./core/line-signal.ts";

export interface ConsentKeyOptions {
  /** Keys in a row, such as `*1`; empty: none. */
  readonly grantKeys: string;
  readonly withdrawKeys: string;
  /** ms between two keys of a row at most. */
  readonly keyPauseMs: number;
}

/** Watches one participant's keys. Keeps no more of them than it needs: people type PINs, too. */
export class ConsentKeys {
  readonly #options: ConsentKeyOptions;
  readonly #clock: Clock;
  #typed = "";
  #typedMs = 0;

  constructor(options: ConsentKeyOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Whether any keys mean anything. */
  get isWatching(): boolean {
    return this.#options.grantKeys !== "" || this.#options.withdrawKeys !== "";
  }

  /** @returns what the row that this key ends means */
  press(key: string): LineConsent | undefined {
    const { grantKeys, withdrawKeys, keyPauseMs } = this.#options;
    const now = this.#clock.now();
    const before = now - this.#typedMs <= keyPauseMs ? this.#typed : "";
    this.#typedMs = now;
    this.#typed = (before + key).slice(-Math.max(grantKeys.length, withdrawKeys.length));
    // Withdrawing goes first: where both fit, nobody is analysed by mistake.
    if (withdrawKeys !== "" && this.#typed.endsWith(withdrawKeys)) return this.#meaning("withdrawn");
    if (grantKeys !== "" && this.#typed.endsWith(grantKeys)) return this.#meaning("granted");
    return undefined;
  }

  #meaning(consent: LineConsent): LineConsent {
    this.#typed = "";
    return consent;
  }
}
