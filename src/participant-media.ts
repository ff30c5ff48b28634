/**
 * What makes windows of one participant's audio: the contract, and its plain implementation on the caller's thread, which
 * a shard runs as well. Whether it may run is participant.ts; the one whose work is done by a shard is shards/.
 */
import { defer, finalize, type Observable, Subject, type Subscription } from "rxjs";
import type { AudioSource } from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import type { Closable } from "./core/lifecycle.ts";
import { MediaClock } from "./core/media-clock.ts";
import type { AudioMimeType, RtpPacket, SenderReport } from "./core/rtp.ts";
import { type MonotonicMs, SAMPLES_PER_MS, sampleIndex } from "./core/units.ts";
import type { HeardUnit, WindowUnit } from "./core/window.ts";
import { createDecodeStats, createOpusDecoder, type DecodeStats, type OpusDecoder } from "./stream/index.ts";
import { createJitterStats, type JitterStats } from "./transport/index.ts";
import { type WindowParts, windowChain } from "./window-chain.ts";

/** What media tell besides windows. Every callback is synchronous. */
export interface MediaListener {
  /** Once: the source gives no more, and an analysis under way ends by itself. */
  readonly onEnd: (error: TonetapError | undefined) => void;
  /** Every packet, before anything is made of it. */
  readonly onPacket?: () => void;
  /** Packets that are no audio but mean something: RFC 4733 telephone events. */
  readonly onEventPacket?: (packet: RtpPacket) => void;
  /**
   * What did the work broke down, and something else does it from now on. An analysis that was under way has completed
   * although the source goes on: another can be prepared.
   */
  readonly onMoved?: (error: TonetapError) => void;
}

/** Where numbers go on. */
export interface AnalysisStart {
  /** Media time of the next sample at least, in samples. */
  readonly sample: number;
  /** Number of the first window. */
  readonly index: number;
}

/** An analysis that can begin at once. It is begun or discarded, exactly once. */
export interface PreparedAnalysis {
  /**
   * Subscribing begins it, unsubscribing stops it and wipes audio and features. Completes after the source's end; errors
   * with what a stage throws.
   */
  begin(start: AnalysisStart): Observable<HeardUnit>;
  discard(): void;
}

/** One participant's audio and what makes windows of it, on whatever thread that is. */
export interface ParticipantMedia extends Closable {
  readonly source: AudioSource;
  readonly jitterStats: Readonly<JitterStats>;
  readonly decodeStats: Readonly<DecodeStats>;
  /** Codec of the latest packet. */
  readonly codec: AudioMimeType | undefined;
  /** Datagrams that became no packet, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** @throws TonetapError unavailable when there is no decoder, closed when it is over */
  prepare(): Promise<PreparedAnalysis>;
  /** Subscribes to the source. Call once. */
  listen(listener: MediaListener): void;
  /** Nobody will listen: frees what is its own. The source stays its owner's. */
  abandon(): void;
  /** Closes the source. Rejects with what its closing throws. */
  close(): Promise<void>;
}

export class LocalMedia implements ParticipantMedia {
  readonly source: AudioSource;
  readonly jitterStats = createJitterStats();
  readonly decodeStats = createDecodeStats();
  readonly #parts: WindowParts;
  readonly #packets = new Subject<RtpPacket>();
  #listener: MediaListener | undefined;
  #intake: Subscription | undefined;
  #reports: Subscription | undefined;
  #mediaClock: MediaClock;
  #lastReport: SenderReport | undefined;
  #lastPayloadType = -1;
  #firstArrivalMs: MonotonicMs | undefined;

  /** @param firstArrivalMs of its first packet, where others heard it before */
  constructor(source: AudioSource, parts: WindowParts, firstArrivalMs?: MonotonicMs) {
    this.source = source;
    this.#parts = parts;
    this.#firstArrivalMs = firstArrivalMs;
    this.#mediaClock = new MediaClock(parts.clock);
  }

  get codec(): AudioMimeType | undefined {
    return this.source.codecs.get(this.#lastPayloadType)?.mimeType;
  }

  get refused(): Readonly<Record<string, number>> {
    return this.source.refused ?? {};
  }

  /** Of the latest packet; −1 before the first. */
  get lastPayloadType(): number {
    return this.#lastPayloadType;
  }

  /** Media time counts from here. */
  get firstArrivalMs(): MonotonicMs | undefined {
    return this.#firstArrivalMs;
  }

  async prepare(): Promise<PreparedAnalysis> {
    // Made before packets are let in: none waits for a decoder.
    const opus = await createOpusDecoder();
    return { begin: (start) => this.#analysis(opus, start), discard: () => opus.close() };
  }

  listen(listener: MediaListener): void {
    const { source } = this;
    const { onPacket, onEventPacket } = listener;
    this.#listener = listener;
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
        onPacket?.();
        this.#firstArrivalMs ??= packet.arrivalMs;
        this.#lastPayloadType = packet.payloadType;
        if (onEventPacket !== undefined && this.codec === "audio/telephone-event") onEventPacket(packet);
        this.#packets.next(packet);
      },
      error: (error: unknown) =>
        this.#end(TonetapError.from(error, "internal", `${source.kind} source failed`)),
      complete: () => this.#end(),
    });
  }

  abandon(): void {
    this.#packets.complete();
    // Both may still be in their constructors when a source ends at once.
    queueMicrotask(() => {
      this.#intake?.unsubscribe();
      this.#reports?.unsubscribe();
    });
  }

  async close(): Promise<void> {
    try {
      await this.source.close();
    } finally {
      this.#end();
    }
  }

  #end(error?: TonetapError): void {
    this.#listener?.onEnd(error);
    this.#listener = undefined;
    this.abandon();
  }

  #analysis(opus: OpusDecoder, { sample, index }: AnalysisStart): Observable<WindowUnit> {
    return defer(() => {
      const { clock } = this.#parts;
      this.#mediaClock = new MediaClock(clock);
      if (this.#lastReport !== undefined) this.#mediaClock.report(this.#lastReport);
      // Media time went on while nobody looked.
      const elapsedMs = this.#firstArrivalMs === undefined ? 0 : clock.now() - this.#firstArrivalMs;
      return this.#packets.pipe(
        windowChain(this.source, this.#parts, {
          opus,
          mediaClock: this.#mediaClock,
          jitterStats: this.jitterStats,
          decodeStats: this.decodeStats,
          startSample: sampleIndex(Math.max(sample, Math.round(elapsedMs * SAMPLES_PER_MS))),
          firstIndex: index,
        }),
      );
    }).pipe(
      // A chain that could not be built has no stage that would close it.
      finalize(() => opus.close()),
    );
  }
}
