/**
 * One participant's media that a shard works on, as the main thread has them: hands over packets that come here, takes in
 * windows, and finds them another shard when theirs breaks down. The shard's side is hosted-media.ts.
 */
import { Observable, type Subscription } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import { TonetapError } from "../core/errors.ts";
import type { AudioMimeType, RtpPacket } from "../core/rtp.ts";
import type { HeardUnit } from "../core/window.ts";
import type { MediaParts } from "../media-host.ts";
import type {
  AnalysisStart,
  MediaListener,
  ParticipantMedia,
  PreparedAnalysis,
} from "../participant-media.ts";
import type { DecodeStats } from "../stream/index.ts";
import type { JitterStats } from "../transport/index.ts";
import { CounterReader } from "./counters.ts";
import { releaseRows } from "./outbox.ts";
import type { MediaNews, MediaReceiver, ShardLink } from "./shard-link.ts";
import type { MediaOrigin, ToldError, WindowTerms } from "./shard-protocol.ts";
import { ShardRun } from "./shard-run.ts";
import { ShardSource } from "./shard-source.ts";
import { MAX_MOVES } from "./source-home.ts";
import { told, untold } from "./told-error.ts";

export interface ShardMediaOptions extends MediaParts {
  readonly media: number;
  readonly source: AudioSource;
  /** Another shard, when its own broke down. @throws TonetapError when there will be none */
  readonly findShard: () => Promise<ShardLink>;
}

export class ShardMedia implements ParticipantMedia, MediaReceiver {
  readonly source: AudioSource;
  readonly #options: ShardMediaOptions;
  #link: ShardLink;
  #listener: MediaListener | undefined;
  #intake: Subscription | undefined;
  #reports: Subscription | undefined;
  #run: ShardRun | undefined;
  #runs = 0;
  #told: WindowTerms | undefined;
  /** How many payload types the shard knows: none loses its meaning (RFC 3264 §8.3.2). */
  #toldCodecs = 0;
  readonly #counters = new CounterReader();
  #overruns = 0;
  /** Datagrams that its port refused in this shard, and in those before. */
  #refused: Readonly<Record<string, number>> = {};
  #refusedBefore: Readonly<Record<string, number>> = {};
  #moves = 0;
  /** The move to another shard under way. */
  #moving: Promise<void> | undefined;
  /** Its source, here, gives no more. */
  #sourceOver: { readonly error: ToldError | undefined } | undefined;
  #ended = false;
  #closing = false;

  private constructor(link: ShardLink, options: ShardMediaOptions) {
    this.source = options.source;
    this.#options = options;
    this.#link = link;
  }

  /** @throws TonetapError closed (its source is over), unavailable (the shard is) */
  static async open(link: ShardLink, options: ShardMediaOptions): Promise<ShardMedia> {
    const media = new ShardMedia(link, options);
    await media.#settle(link);
    return media;
  }

  get jitterStats(): Readonly<JitterStats> {
    return this.#counters.jitterStats;
  }

  get decodeStats(): Readonly<DecodeStats> {
    return this.#counters.decodeStats;
  }

  get codec(): AudioMimeType | undefined {
    return this.source.codecs.get(this.#counters.payloadType)?.mimeType;
  }

  get refused(): Readonly<Record<string, number>> {
    const refused =
      this.source instanceof ShardSource
        ? addedUp(this.#refusedBefore, this.#refused)
        : (this.source.refused ?? {});
    return this.#overruns === 0 ? refused : { ...refused, "shard-behind": this.#overruns };
  }

  async prepare(): Promise<PreparedAnalysis> {
    await this.#moving;
    const { media } = this.#options;
    const run = this.#runs++;
    const link = this.#link;
    if (!this.#ended) await link.ask({ kind: "prepare", media, run });
    return {
      begin: (start) => this.#analysis(link, run, start),
      discard: () => link.order({ kind: "stop", media, run }),
    };
  }

  listen(listener: MediaListener): void {
    this.#listener = listener;
    this.#orderToListen(listener);
    if (!(this.source instanceof ShardSource)) this.#forward();
  }

  abandon(): void {
    this.#link.order({ kind: "abandon", media: this.#options.media });
    this.#forget();
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#moving;
    try {
      await this.source.close();
    } finally {
      // Even if it does not say so.
      this.#endSource(undefined);
      if (!this.#link.alive) this.#end(undefined);
    }
  }

  receive(news: MediaNews): void {
    switch (news.kind) {
      case "unit":
      case "whole":
      case "run-over":
        if (news.kind !== "run-over") this.#tellTerms();
        if (this.#run?.number === news.run) this.#run.receive(news);
        else releaseRows(this.#link.mailbox, news);
        return;
      case "ended":
        this.#endedInShard(news.error === undefined ? undefined : untold(news.error), news.timedOut);
        return;
      case "refused":
        this.#refused = news.refused;
        return;
      case "nack":
        this.#askAgain(news.sequences);
        return;
      case "event-packet":
        this.#listener?.onEventPacket?.(news.packet);
        return;
      default:
        news satisfies never;
    }
  }

  lost(error: TonetapError): void {
    const run = this.#run;
    this.#run = undefined;
    if (!this.#ended) {
      const canMove = this.source instanceof ShardSource ? !this.source.home.over : this.#moves < MAX_MOVES;
      if (this.#closing) this.#end(undefined);
      else if (canMove) this.#move(error);
      else this.#end(error);
    }
    // What it said before is judged; the participant begins anew, or leaves.
    run?.lost();
  }

  #orderToListen({ onEventPacket }: MediaListener): void {
    const { media } = this.#options;
    this.#link.order({ kind: "listen", media, events: onEventPacket !== undefined });
  }

  /** What the platform throws is why its participant leaves, as it would be in a chain of this thread. */
  #askAgain(sequences: readonly number[]): void {
    try {
      this.source.requestRetransmission?.(sequences);
    } catch (error) {
      this.#run?.fail(TonetapError.from(error));
    }
  }

  #analysis(link: ShardLink, number: number, start: AnalysisStart): Observable<HeardUnit> {
    const { media, needsFreshOnly } = this.#options;
    return new Observable((subscriber) => {
      if (!link.alive) {
        subscriber.complete();
        return undefined;
      }
      const onOver = (): void => this.#overRun(run);
      const run: ShardRun = new ShardRun({ media, run: number, link, subscriber, needsFreshOnly, onOver });
      this.#run = run;
      this.#tellTerms();
      link.order({ kind: "begin", media, run: number, start });
      return () => {
        run.stop();
        if (this.#run !== run) return;
        this.#run = undefined;
        link.order({ kind: "stop", media, run: number });
      };
    });
  }

  #overRun(run: ShardRun): void {
    if (this.#run !== run) return;
    this.#run = undefined;
    if (this.#ended) this.#forget();
  }

  /** Models and load may have changed since: the shard is told how its windows are to be made. */
  #tellTerms(): void {
    const scales = this.#options.scales();
    const pace = this.#options.pace();
    if (scales === this.#told?.scales && pace === this.#told.pace) return;
    this.#told = { scales, pace };
    this.#link.order({ kind: "terms", media: this.#options.media, terms: this.#told });
  }

  /** Packets come on this thread: they go through the ring, what else the source says in messages. */
  #forward(): void {
    const { media } = this.#options;
    const { source } = this;
    this.#reports = source.senderReports?.subscribe({
      next: (report) => this.#link.order({ kind: "report", media, report }),
      error: () => undefined,
    });
    this.#intake = source.packets.subscribe({
      next: (packet: RtpPacket) => {
        if (source.codecs.size !== this.#toldCodecs) this.#tellCodecs();
        if (!this.#link.forward(media, packet)) this.#overruns++;
      },
      error: (error: unknown) =>
        this.#endSource(told(TonetapError.from(error, "internal", `${source.kind} source failed`))),
      complete: () => this.#endSource(undefined),
    });
  }

  /** SIP may agree on payload types after the call was answered, and again later. */
  #tellCodecs(): void {
    const { codecs } = this.source;
    this.#toldCodecs = codecs.size;
    this.#link.order({ kind: "codecs", media: this.#options.media, codecs });
  }

  /** Of a forwarded source: the shard ends when it has read the packets that came before. */
  #endSource(error: ToldError | undefined): void {
    if (this.#sourceOver !== undefined || this.source instanceof ShardSource) return;
    this.#sourceOver = { error };
    this.#link.order({ kind: "source-ended", media: this.#options.media, error });
  }

  #endedInShard(error: TonetapError | undefined, timedOut: boolean): void {
    if (this.source instanceof ShardSource) this.source.home.end(error, timedOut);
    this.#end(error);
  }

  #end(error: TonetapError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener?.onEnd(error);
    if (this.#run === undefined) this.#forget();
  }

  #forget(): void {
    this.#ended = true;
    this.#link.unregister(this.#options.media);
    queueMicrotask(() => {
      this.#intake?.unsubscribe();
      this.#reports?.unsubscribe();
    });
  }

  async #settle(link: ShardLink): Promise<void> {
    const { media, normalisation, source } = { ...this.#options, source: this.source };
    const origin: MediaOrigin =
      source instanceof ShardSource
        ? { kind: "own", source: source.home.number }
        : {
            kind: "forwarded",
            codecs: source.codecs,
            canRetransmit: source.requestRetransmission !== undefined,
          };
    this.#link = link;
    this.#toldCodecs = source.codecs.size;
    link.register(media, this);
    try {
      const counters = this.#counters.moveOn();
      const { firstArrivalMs } = this.#counters;
      await link.ask({
        kind: "adopt",
        media,
        origin,
        sourceKind: source.kind,
        normalisation,
        firstArrivalMs,
        counters,
      });
    } catch (error) {
      link.unregister(media);
      throw error;
    }
    this.#told = undefined;
  }

  /** Its shard broke down: it begins anew on another. */
  #move(error: TonetapError): void {
    this.#moves++;
    this.#refusedBefore = addedUp(this.#refusedBefore, this.#refused);
    this.#refused = {};
    const moving = this.#settleElsewhere().then(
      () => {
        if (this.#moving === moving) this.#moving = undefined;
        if (!this.#ended) this.#listener?.onMoved?.(error);
      },
      (failure: unknown) => {
        // The other has broken down meanwhile, too: it is on its way to a third.
        if (this.#moving !== moving) return;
        this.#moving = undefined;
        this.#end(TonetapError.from(failure));
      },
    );
    this.#moving = moving;
  }

  async #settleElsewhere(): Promise<void> {
    const { media, findShard } = this.#options;
    // Until then its sockets are not free.
    await this.#link.gone();
    const link = await findShard();
    if (this.#ended) return;
    await this.#settle(link);
    if (this.#ended) {
      this.abandon();
      return;
    }
    if (this.#listener !== undefined) this.#orderToListen(this.#listener);
    if (this.#sourceOver !== undefined) link.order({ kind: "source-ended", media, ...this.#sourceOver });
  }
}

function addedUp(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const sum = { ...a };
  for (const [reason, count] of Object.entries(b)) sum[reason] = (sum[reason] ?? 0) + count;
  return sum;
}
