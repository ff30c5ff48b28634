/**
 * One participant of a call: its chain from packets to emotion, and whether that chain may run. Owns the composition
 * and the pausing; publishing events and keeping the list of calls is engine.ts.
 */
import { Subject, type Subscription, tap } from "rxjs";
import type { AudioSource, ConsentState, ParticipantRole } from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import type { Closable } from "./core/lifecycle.ts";
import { MediaClock } from "./core/media-clock.ts";
import type { AudioMimeType, RtpPacket, SenderReport } from "./core/rtp.ts";
import { type MonotonicMs, SAMPLES_PER_MS, sampleIndex } from "./core/units.ts";
import type { EmotionUnit, SpeechEdge } from "./core/window.ts";
import { type ChainParts, emotionChain } from "./emotion-chain.ts";
import { type Quality, QualityMeter } from "./quality.ts";
import { createDecodeStats, createOpusDecoder, type OpusDecoder } from "./stream/index.ts";
import { createJitterStats } from "./transport/index.ts";

/** What became of a participant's windows. Each is counted once. */
export interface WindowCounts {
  emitted: number;
  abstained: number;
  gated: number;
  dropped: number;
}

export type PauseReason = "consent-pending" | "consent-withdrawn" | "policy" | "operator";
export type ResumeReason = "consent-granted" | "policy" | "operator";

/** What the engine is told. Every callback is synchronous. */
export interface ParticipantHooks {
  readonly onUnit: (unit: EmotionUnit) => void;
  /** @param speech the end of the talk-spurt that it cuts off, if there is one */
  readonly onPaused: (reason: PauseReason, speech: SpeechEdge | undefined) => void;
  readonly onResumed: (reason: ResumeReason) => void;
  /** After onPaused(). @param windows thrown away that waited for the model */
  readonly onDiscarded: (reason: PauseReason, windows: number) => void;
  /** Before what follows from it. */
  readonly onConsent: (consent: ConsentState, previous: ConsentState, by: string) => void;
  /** Once, last: the source has ended and everything it gave is answered. */
  readonly onEnded: (error: TonetapError | undefined) => void;
}

export interface ParticipantIdentity {
  readonly callId: string;
  readonly participantId: string;
  readonly role: ParticipantRole;
  readonly displayName?: string;
}

export class Participant implements Closable, AsyncDisposable {
  readonly identity: ParticipantIdentity;
  readonly source: AudioSource;
  readonly joinedMs: MonotonicMs;
  readonly windows: WindowCounts = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
  readonly jitterStats = createJitterStats();
  readonly decodeStats = createDecodeStats();
  /** Resolves when the participant has left, however it came to that. */
  readonly ended: Promise<void>;
  readonly #parts: ChainParts;
  readonly #hooks: ParticipantHooks;
  readonly #quality: QualityMeter;
  readonly #packets = new Subject<RtpPacket>();
  readonly #intake: Subscription;
  readonly #reports: Subscription | undefined;
  #chain: Subscription | undefined;
  #mediaClock: MediaClock;
  #lastReport: SenderReport | undefined;
  #lastPayloadType = -1;
  #firstArrivalMs: number | undefined;
  #nextIndex = 0;
  #nextSample = 0;
  #consent: ConsentState;
  #consentBy: string | undefined;
  #heldByOperator = false;
  /** Rises with every start and stop of the analysis, so that a start overtaken by a stop is recognised. */
  #generation = 0;
  /** Begun and not ended: whoever stops the chain ends it. */
  #openSpurt: SpeechEdge | undefined;
  #sourceOver = false;
  #removed = false;
  #over = false;
  #error: TonetapError | undefined;
  #resolveEnded: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  /** @param opus for the first run: attaching is asynchronous so that no packet waits for a decoder. */
  constructor(
    identity: ParticipantIdentity,
    consent: ConsentState,
    source: AudioSource,
    parts: ChainParts,
    hooks: ParticipantHooks,
    opus: OpusDecoder,
  ) {
    this.identity = identity;
    this.source = source;
    this.#consent = consent;
    this.#parts = parts;
    this.#hooks = hooks;
    this.joinedMs = parts.clock.now();
    this.#quality = new QualityMeter(parts.clock, this.jitterStats, this.decodeStats);
    this.#mediaClock = new MediaClock(parts.clock);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    if (this.paused) opus.close();
    else this.#run(opus);
    this.#reports = source.senderReports?.subscribe({
      next: (report) => {
        this.#lastReport = report;
        this.#mediaClock.report(report);
      },
      // Packets say that the source failed; its reports ending with it is no news.
      error: () => undefined,
    });
    this.#intake = source.packets.subscribe({
      next: (packet) => {
        this.#firstArrivalMs ??= packet.arrivalMs;
        this.#lastPayloadType = packet.payloadType;
        this.#packets.next(packet);
      },
      error: (error: unknown) => {
        this.#error = TonetapError.from(error, "internal", `${source.kind} source failed`);
        this.#endSource();
      },
      complete: () => this.#endSource(),
    });
  }

  /** Names it to the batcher. */
  get #key(): string {
    return JSON.stringify([this.identity.callId, this.identity.participantId]);
  }

  get consent(): ConsentState {
    return this.#consent;
  }

  /** Who asked for the last change of consent; undefined while it is what it was attached with. */
  get consentBy(): string | undefined {
    return this.#consentBy;
  }

  /** Analysis is not running: no consent, or an operator's pause. */
  get paused(): boolean {
    return this.#consent !== "granted" || this.#heldByOperator;
  }

  /** Its owner detached it while its peer was still there. */
  get removed(): boolean {
    return this.#removed;
  }

  /** Codec of the latest packet. */
  get codec(): AudioMimeType | undefined {
    return this.source.codecs.get(this.#lastPayloadType)?.mimeType;
  }

  /** How its audio has arrived since it was last asked. */
  takeQuality(): Quality & {
    readonly windows: WindowCounts;
    readonly codec?: AudioMimeType;
    readonly refused?: Readonly<Record<string, number>>;
  } {
    const { codec } = this;
    const { refused = {} } = this.source;
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
    if (consent === this.#consent || this.#over) return;
    const wasPaused = this.paused;
    const previous = this.#consent;
    this.#consent = consent;
    this.#consentBy = by;
    this.#hooks.onConsent(consent, previous, by);
    await this.#follow(
      wasPaused,
      consent === "withdrawn" ? "consent-withdrawn" : "consent-pending",
      "consent-granted",
    );
  }

  /** Stops the analysis and wipes the audio in memory; the stream itself goes on. */
  async pause(): Promise<void> {
    const wasPaused = this.paused;
    this.#heldByOperator = true;
    await this.#follow(wasPaused, "operator", "operator");
  }

  /** Ends an operator's pause. Without consent the analysis stays paused. */
  async resume(): Promise<void> {
    const wasPaused = this.paused;
    this.#heldByOperator = false;
    await this.#follow(wasPaused, "operator", "operator");
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

  async #follow(wasPaused: boolean, pause: PauseReason, resume: ResumeReason): Promise<void> {
    if (this.#over || this.#sourceOver || this.paused === wasPaused) return;
    const generation = ++this.#generation;
    if (this.paused) {
      // Unsubscribing closes every stage; featureFrames() wipes its rings.
      this.#chain?.unsubscribe();
      this.#chain = undefined;
      const windows = this.#parts.batcher.forget?.(this.#key) ?? 0;
      this.#hooks.onPaused(pause, this.#endSpurt());
      this.#hooks.onDiscarded(pause, windows);
      return;
    }
    const opus = await createOpusDecoder();
    if (generation !== this.#generation || this.#sourceOver) {
      opus.close();
      return;
    }
    this.#run(opus);
    this.#hooks.onResumed(resume);
  }

  #run(opus: OpusDecoder): void {
    const { clock } = this.#parts;
    this.#mediaClock = new MediaClock(clock);
    if (this.#lastReport !== undefined) this.#mediaClock.report(this.#lastReport);
    // Media time went on while nobody looked.
    const elapsed = this.#firstArrivalMs === undefined ? 0 : clock.now() - this.#firstArrivalMs;
    this.#chain = this.#packets
      .pipe(
        emotionChain(this.source, this.#parts, {
          key: this.#key,
          opus,
          mediaClock: this.#mediaClock,
          jitterStats: this.jitterStats,
          decodeStats: this.decodeStats,
          startSample: sampleIndex(Math.max(this.#nextSample, Math.round(elapsed * SAMPLES_PER_MS))),
          firstIndex: this.#nextIndex,
        }),
        // In the chain, so that what it throws ends this participant and not the process.
        tap((unit) => this.#count(unit)),
      )
      .subscribe({
        error: (error: unknown) => {
          // A chain that could not be built has no stage that would close it.
          opus.close();
          this.#error = TonetapError.from(error);
          this.#end();
        },
        complete: () => this.#end(),
      });
  }

  #count(unit: EmotionUnit): void {
    switch (unit.kind) {
      case "emotion":
        if (unit.abstained) this.windows.abstained++;
        else this.windows.emitted++;
        break;
      case "gated":
        this.windows.gated++;
        break;
      case "dropped":
        this.windows.dropped++;
        break;
      case "speech":
        this.#openSpurt = unit.state === "started" ? unit : undefined;
        this.#nextSample = Math.max(this.#nextSample, unit.at);
        this.#hooks.onUnit(unit);
        return;
      default:
        unit satisfies never;
    }
    this.#nextIndex = unit.index + 1;
    this.#nextSample = Math.max(this.#nextSample, unit.end);
    this.#hooks.onUnit(unit);
  }

  /** When the chain stops in the middle of a talk-spurt: it ends with the last audio that was looked at. */
  #endSpurt(): SpeechEdge | undefined {
    const started = this.#openSpurt;
    if (started === undefined) return undefined;
    this.#openSpurt = undefined;
    const at = sampleIndex(Math.max(started.at, this.#nextSample));
    const { wallMs, source } = this.#mediaClock.wallOf(at);
    return {
      kind: "speech",
      state: "ended",
      at,
      mediaMs: at / SAMPLES_PER_MS,
      wallMs,
      wallSource: source,
      durationMs: (at - started.at) / SAMPLES_PER_MS,
      arrivalMs: this.#parts.clock.now(),
    };
  }

  /** The source gives no more: let the chain answer what is under way, then it is over. */
  #endSource(): void {
    if (this.#sourceOver) return;
    this.#sourceOver = true;
    if (this.#chain === undefined) this.#end();
    else this.#packets.complete();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#sourceOver = true;
    this.#chain?.unsubscribe();
    // Both may still be in their constructors when a source ends at once.
    queueMicrotask(() => {
      this.#intake.unsubscribe();
      this.#reports?.unsubscribe();
    });
    const error = this.#error;
    void this.#closeSource().then(() => {
      this.#tellEndOfSpurt();
      this.#hooks.onEnded(error ?? this.#error);
      this.#resolveEnded();
    });
  }

  /** Outside the chain: what it throws is why the participant leaves, and does not keep it. */
  #tellEndOfSpurt(): void {
    const speech = this.#endSpurt();
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
      await this.source.close();
    } catch (error) {
      this.#error ??= TonetapError.from(error);
    }
  }
}
