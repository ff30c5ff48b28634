/**
 * Gets one participant told, and keeps the proof: asks whoever gives notices, again if need be, until an acknowledgement
 * comes. That analysis waits for it is analysis-gate.ts; asking over HTTP is notice-webhook.ts.
 */
import { randomUUID } from "node:crypto";
import type { ParticipantRole } from "../core/audio-source.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { type NoticeProof, parseNoticeProof } from "./notice-proof.ts";

/** Who is to be told. */
export interface NoticeRequest {
  /** The same in each attempt for one participant: who gave that notice already need not give it again. */
  readonly id: string;
  /** From 1. */
  readonly attempt: number;
  readonly callId: string;
  readonly participantId: string;
  readonly role: ParticipantRole;
  /** Where the audio comes from: `sip`, `whip`, … */
  readonly transport: string;
}

/** What a hook answers: {@link NoticeProof}, where `by` and `at` may be left out. */
export type NoticeAnswer = Omit<NoticeProof, "by" | "at"> & Partial<Pick<NoticeProof, "by" | "at">>;

/**
 * Gives the notice and resolves with the proof; with undefined if it will be confirmed later (`participant.confirmNotice()`).
 * Rejecting asks for another attempt, unless with a TonetapError that is `policy` or `not-found`. The signal aborts when it
 * takes too long, the participant leaves or consent is withdrawn; what comes after that counts no more.
 */
export type NoticeHook = (request: NoticeRequest, signal: AbortSignal) => Promise<NoticeAnswer | undefined>;

export interface NoticeTerms {
  readonly hook: NoticeHook;
  /** Whether analysis waits for the proof. */
  readonly required: boolean;
  /** ms from asking to the proof, each time. */
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  /** ms before the second attempt; each further one waits twice as long, 60 s at most. */
  readonly firstRetryMs: number;
}

/**
 * - `idle`: nobody was asked yet. - `requested`: asked, and no proof yet. - `given`: there is proof.
 * - `failed`: asked as often as may be. - `cancelled`: withdrawn, or left, before there was proof.
 */
export type NoticeState = "idle" | "requested" | "given" | "failed" | "cancelled";

/** What is told of it, in its order. */
export type NoticeNews =
  | { readonly state: "requested"; readonly attempt: number }
  | { readonly state: "given"; readonly proof: NoticeProof }
  | { readonly state: "failed"; readonly attempt: number; readonly reason: string }
  | { readonly state: "cancelled" };

const MAX_RETRY_MS = 60_000;

export class NoticeGiving {
  readonly #whom: Omit<NoticeRequest, "id" | "attempt">;
  readonly #terms: NoticeTerms | undefined;
  readonly #clock: Clock;
  readonly #tell: (news: NoticeNews) => void;
  readonly #id = randomUUID();
  #state: NoticeState = "idle";
  #proof: NoticeProof | undefined;
  /** Of the run under way. */
  #abort: AbortController | undefined;

  /** @param terms undefined: nobody is asked; a proof may be brought all the same */
  constructor(
    whom: Omit<NoticeRequest, "id" | "attempt">,
    terms: NoticeTerms | undefined,
    clock: Clock,
    tell: (news: NoticeNews) => void,
  ) {
    this.#whom = whom;
    this.#terms = terms;
    this.#clock = clock;
    this.#tell = tell;
  }

  get state(): NoticeState {
    return this.#state;
  }

  get proof(): NoticeProof | undefined {
    return this.#proof;
  }

  /** Analysis waits for the proof. */
  get isRequired(): boolean {
    return this.#terms?.required === true;
  }

  /** Analysis must not run yet. */
  get isOwed(): boolean {
    return this.isRequired && this.#proof === undefined;
  }

  /** Asks, unless that is under way or done. */
  begin(): void {
    if (this.#terms === undefined || this.#state === "given" || this.#state === "requested") return;
    this.#state = "requested";
    const abort = new AbortController();
    this.#abort = abort;
    void this.#run(this.#terms, abort.signal);
  }

  /**
   * Somebody says that the notice was given.
   * @returns the proof that stands; the same twice is no news
   * @throws TonetapError conflict when there is another proof already
   */
  confirm(proof: NoticeProof): NoticeProof {
    const known = this.#proof;
    if (known !== undefined) {
      if (known.reference === proof.reference && known.how === proof.how && known.by === proof.by)
        return known;
      throw new TonetapError(
        "conflict",
        `the notice was ${known.how} already, by ${known.by} at ${known.at}: the first proof stands`,
      );
    }
    this.#proof = proof;
    this.#state = "given";
    this.#abort?.abort();
    this.#tell({ state: "given", proof });
    return proof;
  }

  /** Nobody needs to be told any more. A proof that there is stays. */
  cancel(): void {
    if (this.#state !== "requested") return;
    this.#state = "cancelled";
    this.#abort?.abort();
    this.#tell({ state: "cancelled" });
  }

  /** Never rejects. */
  async #run(terms: NoticeTerms, over: AbortSignal): Promise<void> {
    // Whoever attaches the participant comes first: a hook may look for it.
    await Promise.resolve();
    const id = this.#id;
    for (let attempt = 1; !over.aborted; attempt++) {
      this.#tell({ state: "requested", attempt });
      // Whoever hears of it may have ended it.
      if (over.aborted) return;
      const outcome = await this.#attempt({ ...this.#whom, id, attempt }, terms, over);
      if (over.aborted) return;
      if (!(outcome instanceof TonetapError)) {
        this.confirm(outcome);
        return;
      }
      const isFinal = outcome.code === "policy" || outcome.code === "not-found";
      if (isFinal || attempt >= terms.maxAttempts) {
        this.#state = "failed";
        this.#tell({ state: "failed", attempt, reason: outcome.message.slice(0, 256) });
        return;
      }
      const pauseMs = Math.min(MAX_RETRY_MS, terms.firstRetryMs * 2 ** (attempt - 1));
      await sleep(this.#clock, pauseMs, over).catch(() => "it is over, which the loop sees");
    }
  }

  /** @returns the proof, or why there is none. Never rejects. */
  async #attempt(
    request: NoticeRequest,
    { hook, timeoutMs }: NoticeTerms,
    over: AbortSignal,
  ): Promise<NoticeProof | TonetapError> {
    const timeout = new AbortController();
    const cancel = this.#clock.schedule(timeoutMs, () => timeout.abort());
    const signal = AbortSignal.any([over, timeout.signal]);
    const late = new Promise<never>((_, reject) => {
      const giveUp = (): void =>
        reject(new TonetapError("timeout", `no proof of the notice within ${timeoutMs} ms`));
      signal.addEventListener("abort", giveUp, { once: true });
    });
    try {
      const asked = (async () => hook(request, signal))();
      const answer = await Promise.race([asked, late]);
      // It will be confirmed: until then, or until it is late.
      if (answer === undefined) return await late;
      return parseNoticeProof(answer, "hook", this.#clock.wall());
    } catch (error) {
      return TonetapError.from(error, "unavailable", "the notice hook failed");
    } finally {
      cancel();
    }
  }
}
