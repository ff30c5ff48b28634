/**
 * One participant of a call: its analysis from packets to emotion, started and stopped as analysis-gate.ts allows. Making
 * windows is participant-media.ts, publishing events and keeping the list of calls is engine.ts.
 */
import { type Subscription, tap } from "rxjs";
import type { MutableOwner } from "./admission.ts";
import { AnalysisGate, type PauseReason } from "./analysis-gate.ts";
import { AnalysisProgress } from "./analysis-progress.ts";
import type { AudioSource, ConsentState } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { Closable } from "./core/lifecycle.ts";
import type { AudioMimeType } from "./core/rtp.ts";
import type { MonotonicMs } from "./core/units.ts";
import type { WindowPriority } from "./core/window.ts";
import { type JudgementParts, judgement } from "./emotion-chain.ts";
import { LineWatch } from "./line-watch.ts";
import {
  NoticeGiving,
  type NoticeNews,
  type NoticeProof,
  type NoticeState,
  parseNoticeProof,
} from "./notice/index.ts";
import type {
  ParticipantHooks,
  ParticipantIdentity,
  ParticipantTerms,
  ResumeReason,
  WindowCounts,
} from "./participant-contract.ts";
import type { ParticipantMedia, PreparedAnalysis } from "./participant-media.ts";
import { type Quality, QualityMeter } from "./quality.ts";

/** What its analysis needs from the engine. */
export interface ParticipantParts extends JudgementParts {
  readonly clock: Clock;
  /** Its priority may change while it is there. */
  readonly owner: MutableOwner;
}

export class Participant implements Closable, AsyncDisposable {
  readonly identity: ParticipantIdentity;
  readonly joinedMs: MonotonicMs;
  /** Resolves when the participant has left, however it came to that. */
  readonly ended: Promise<void>;
  readonly #media: ParticipantMedia;
  readonly #parts: ParticipantParts;
  readonly #hooks: ParticipantHooks;
  readonly #quality: QualityMeter;
  readonly #gate: AnalysisGate;
  readonly #progress = new AnalysisProgress();
  readonly #line: LineWatch;
  #chain: Subscription | undefined;
  /** Rises with every start and stop of the analysis, so that a start overtaken by a stop is recognised. */
  #generation = 0;
  #sourceOver = false;
  #removed = false;
  #over = false;
  #error: TonetapError | undefined;
  #resolveEnded: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  /** @param first for the first run: attaching is asynchronous so that no packet waits for a decoder. */
  constructor(
    identity: ParticipantIdentity,
    { consent, keys, notice }: ParticipantTerms,
    media: ParticipantMedia,
    parts: ParticipantParts,
    hooks: ParticipantHooks,
    first: PreparedAnalysis,
  ) {
    this.identity = identity;
    this.#media = media;
    this.#parts = parts;
    this.#hooks = hooks;
    this.#line = new LineWatch(keys, parts.clock, ({ consent, by, nature }) => {
      if (nature === "repeated" && !this.#gate.takesRepeated(by)) return;
      this.#orEnd(this.setConsent(consent, by));
    });
    const { callId, participantId, role } = identity;
    const whom = { callId, participantId, role, transport: media.source.kind };
    const giving = new NoticeGiving(whom, notice, parts.clock, (news) => this.#hearNotice(news));
    this.#gate = new AnalysisGate(consent, giving);
    this.joinedMs = parts.clock.now();
    this.#quality = new QualityMeter(parts.clock, media.jitterStats, media.decodeStats);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    if (this.paused) first.discard();
    else this.#run(first);
    if (this.#gate.closedBy === "notice-pending") hooks.onPaused("notice-pending", undefined);
    this.#gate.followNotice();
    media.listen({
      ...this.#line.listener,
      onEnd: (error) => {
        if (error !== undefined) this.#error = error;
        this.#endSource();
      },
      onMoved: (error) => hooks.onMoved(error),
    });
    this.#line.begin(media.source);
  }

  get source(): AudioSource {
    return this.#media.source;
  }

  /** What its windows came to. */
  get windows(): WindowCounts {
    return this.#progress.windows;
  }

  get jitterStats(): ParticipantMedia["jitterStats"] {
    return this.#media.jitterStats;
  }

  get decodeStats(): ParticipantMedia["decodeStats"] {
    return this.#media.decodeStats;
  }

  /** Names it to the batcher. */
  get #key(): string {
    return JSON.stringify([this.identity.callId, this.identity.participantId]);
  }

  get consent(): ConsentState {
    return this.#gate.consent;
  }

  /** Who asked for the last change of consent; undefined while it is what it was attached with. */
  get consentBy(): string | undefined {
    return this.#gate.consentBy;
  }

  /** Whether it was told that it is analysed, and the proof of it. */
  get notice(): { readonly state: NoticeState; readonly proof?: NoticeProof } {
    const { state, proof } = this.#gate.notice;
    return proof === undefined ? { state } : { state, proof };
  }

  /** Whose windows go first when the model is busy; a change is for windows that come. */
  get priority(): WindowPriority {
    return this.#parts.owner.priority;
  }

  set priority(priority: WindowPriority) {
    this.#parts.owner.priority = priority;
  }

  /** An operator's pause is in force, whatever else is. */
  get onHold(): boolean {
    return this.#gate.heldByOperator;
  }

  /** Analysis is not running: no consent, no proof of a notice that is owed, or an operator's pause. */
  get paused(): boolean {
    return this.#gate.closedBy !== undefined;
  }

  /** Its owner detached it while its peer was still there. */
  get removed(): boolean {
    return this.#removed;
  }

  /** Codec of the latest packet. */
  get codec(): AudioMimeType | undefined {
    return this.#media.codec;
  }

  /** How its audio has arrived since it was last asked. */
  takeQuality(): Quality & {
    readonly windows: WindowCounts;
    readonly codec?: AudioMimeType;
    readonly refused?: Readonly<Record<string, number>>;
  } {
    const { codec, refused } = this.#media;
    return {
      ...this.#quality.take(),
      windows: this.windows,
      ...(codec === undefined ? {} : { codec }),
      ...(Object.keys(refused).length === 0 ? {} : { refused }),
    };
  }

  /**
   * Withdrawing, or taking back to pending, stops the analysis at once and wipes the audio in memory.
   * @param by who asked for it, for events and the audit log
   */
  async setConsent(consent: ConsentState, by = "program"): Promise<void> {
    const gate = this.#gate;
    if (consent === gate.consent || this.#over) return;
    const { closedBy, consent: previous } = gate;
    gate.setConsent(consent, by);
    this.#hooks.onConsent(consent, previous, by);
    const followed = this.#follow(closedBy, "consent-granted");
    gate.followNotice();
    await followed;
  }

  /**
   * Somebody has told the participant that it is analysed: the proof, for events and the audit log. Analysis that waited for
   * it begins. The same proof twice changes nothing.
   * @param by who says so, where the proof does not say who gave the notice
   * @throws TonetapError invalid-argument for what is no proof, conflict when there is another already
   */
  confirmNotice(proof: unknown, by = "program"): NoticeProof {
    const { notice } = this.#gate;
    return notice.confirm(parseNoticeProof(proof, by, this.#parts.clock.wall()));
  }

  /** Stops the analysis and wipes the audio in memory; the stream itself goes on. */
  async pause(): Promise<void> {
    const { closedBy } = this.#gate;
    this.#gate.heldByOperator = true;
    await this.#follow(closedBy, "operator");
  }

  /** Ends an operator's pause. Without consent the analysis stays paused. */
  async resume(): Promise<void> {
    const { closedBy } = this.#gate;
    this.#gate.heldByOperator = false;
    await this.#follow(closedBy, "operator");
  }

  /**
   * Detaches it: closes the source, answers what is under way, then it has left.
   * @param error why, if something broke
   */
  close(error?: TonetapError): Promise<void> {
    this.#closing ??= (async () => {
      this.#removed = !this.#sourceOver;
      if (this.#removed) this.#error ??= error;
      await this.#closeSource();
      this.#endSource();
      await this.ended;
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Told before what follows from it, as consent is. */
  #hearNotice(news: NoticeNews): void {
    this.#hooks.onNotice(news);
    const { notice, consent } = this.#gate;
    if (news.state !== "given" || consent !== "granted" || !notice.isRequired) return;
    this.#orEnd(this.#follow("notice-pending", "notice-given"));
  }

  /** What nobody waits for: if it fails, the participant leaves with the error. */
  #orEnd(change: Promise<void>): void {
    change.catch((error: unknown) => this.close(TonetapError.from(error)));
  }

  async #follow(before: PauseReason | undefined, resume: ResumeReason): Promise<void> {
    if (this.#over || this.#sourceOver) return;
    const closedBy = this.#gate.closedBy;
    // Consent is there, and what else is owed is told; nothing ran that could stop.
    if (before !== undefined && before !== closedBy && closedBy === "notice-pending") {
      this.#hooks.onPaused(closedBy, undefined);
    }
    if ((before === undefined) === (closedBy === undefined)) return;
    const generation = ++this.#generation;
    if (closedBy !== undefined) {
      // Unsubscribing closes every stage, wherever it runs; featureFrames() wipes its rings.
      this.#chain?.unsubscribe();
      this.#chain = undefined;
      const windows = this.#parts.batcher.forget?.(this.#key) ?? 0;
      this.#hooks.onPaused(closedBy, this.#progress.endSpurt(this.#parts.clock.now()));
      this.#hooks.onDiscarded(closedBy, windows);
      return;
    }
    const analysis = await this.#media.prepare();
    if (generation !== this.#generation || this.#sourceOver) {
      analysis.discard();
      return;
    }
    this.#run(analysis);
    this.#hooks.onResumed(resume);
  }

  #run(analysis: PreparedAnalysis): void {
    this.#chain = analysis
      .begin(this.#progress.next)
      .pipe(
        judgement(this.#parts, this.#key),
        // In the chain, so that what it throws ends this participant and not the process.
        tap((unit) => {
          this.#progress.note(unit);
          this.#hooks.onUnit(unit);
        }),
      )
      .subscribe({
        error: (error: unknown) => {
          this.#error = TonetapError.from(error);
          this.#end();
        },
        complete: () => {
          if (this.#sourceOver) this.#end();
          else this.#orEnd(this.#goOn());
        },
      });
  }

  /** What made windows broke down, and the last of them is answered: the rest is heard by whatever makes them now. */
  async #goOn(): Promise<void> {
    const generation = ++this.#generation;
    this.#chain = undefined;
    this.#tellEndOfSpurt();
    const analysis = await this.#media.prepare();
    if (generation === this.#generation && !this.#sourceOver) this.#run(analysis);
    else analysis.discard();
  }

  /** The source gives no more: the chain answers what is under way and completes, then it is over. */
  #endSource(): void {
    if (this.#sourceOver) return;
    this.#sourceOver = true;
    if (this.#chain === undefined) this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#sourceOver = true;
    this.#chain?.unsubscribe();
    // What a model carries of this voice goes with it.
    this.#parts.batcher.forget?.(this.#key);
    this.#gate.notice.cancel();
    this.#line.end();
    const error = this.#error;
    void this.#closeSource().then(() => {
      this.#tellEndOfSpurt();
      this.#hooks.onEnded(error ?? this.#error);
      this.#resolveEnded();
    });
  }

  /** Outside the chain: what it throws is why the participant leaves, and does not keep it. */
  #tellEndOfSpurt(): void {
    const speech = this.#progress.endSpurt(this.#parts.clock.now());
    if (speech === undefined) return;
    try {
      this.#hooks.onUnit(speech);
    } catch (error) {
      this.#error ??= TonetapError.from(error);
    }
  }

  /** Never rejects: a source that cannot close has failed, and its participant leaves all the same. */
  async #closeSource(): Promise<void> {
    try {
      await this.#media.close();
    } catch (error) {
      this.#error ??= TonetapError.from(error);
    }
  }
}
