/** Whether one participant may be analysed: consent, the notice that is owed, an operator's pause. Starting and stopping is participant.ts. */
import type { ConsentState } from "./core/audio-source.ts";
import type { NoticeGiving } from "./notice/index.ts";

export type PauseReason = "consent-pending" | "consent-withdrawn" | "notice-pending" | "policy" | "operator";

export class AnalysisGate {
  readonly notice: NoticeGiving;
  #consent: ConsentState;
  #consentBy: string | undefined;
  heldByOperator = false;

  constructor(consent: ConsentState, notice: NoticeGiving) {
    this.#consent = consent;
    this.notice = notice;
  }

  get consent(): ConsentState {
    return this.#consent;
  }

  /** Who asked for the last change of consent; undefined while it is what it was attached with. */
  get consentBy(): string | undefined {
    return this.#consentBy;
  }

  /** Why analysis must not run; undefined when it may. Consent is the first to be asked for. */
  get closedBy(): PauseReason | undefined {
    if (this.#consent !== "granted") return `consent-${this.#consent}`;
    if (this.notice.isOwed) return "notice-pending";
    return this.heldByOperator ? "operator" : undefined;
  }

  setConsent(consent: ConsentState, by: string): void {
    this.#consent = consent;
    this.#consentBy = by;
  }

  /** Who has withdrawn need not be told any more; who may yet agree has to be. */
  followNotice(): void {
    if (this.#consent === "withdrawn") this.notice.cancel();
    else this.notice.begin();
  }

  /** Whether what is merely said again may change consent: not when somebody withdrew it by another way. */
  takesRepeated(by: string): boolean {
    return this.#consent !== "withdrawn" || this.#consentBy === by;
  }
}
