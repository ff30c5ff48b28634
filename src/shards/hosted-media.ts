/** One participant's media in a shard: its runs, and the telling of what comes out of them. The main side is shard-media.ts. */
import type { Subscription } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import type { Normalisation } from "../core/model.ts";
import type { RtpPacket } from "../core/rtp.ts";
import type { MonotonicMs } from "../core/units.ts";
import type { FeatureWindow, HeardUnit } from "../core/window.ts";
import { windowInfo } from "../core/window-info.ts";
import { type AnalysisStart, LocalMedia, type PreparedAnalysis } from "../participant-media.ts";
import type { WindowParts } from "../window-chain.ts";
import { type CounterMemory, writeCounters } from "./counters.ts";
import type { ForwardedSource } from "./forwarded-source.ts";
import type { ShardNews, ToldUnit, WindowTerms } from "./shard-protocol.ts";
import { told } from "./told-error.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

export interface HostedMediaOptions {
  readonly media: number;
  readonly source: AudioSource;
  readonly parts: Pick<WindowParts, "clock" | "config" | "manifest">;
  readonly firstArrivalMs: MonotonicMs | undefined;
  readonly counters: CounterMemory;
  readonly mailbox: WindowMailbox;
  readonly tell: (news: ShardNews) => void;
  /** A packet has come. */
  readonly onPacket: () => void;
  /** Nothing of it is left. */
  readonly onOver: () => void;
}

export class HostedMedia {
  /** If its packets come through the ring. */
  readonly forwarded: ForwardedSource | undefined;
  readonly #options: HostedMediaOptions;
  readonly #local: LocalMedia;
  readonly #prepared = new Map<number, PreparedAnalysis>();
  readonly #running = new Map<number, Subscription>();
  /** The latest window that went out as its fresh frames, and how to make the rest of it. */
  #latest: Pick<FeatureWindow, "index" | "writeWhole"> | undefined;
  /** Changed by the main thread at any time. */
  terms: WindowTerms;
  /** Datagrams refused, as they were last told. */
  #refused = 0;
  #ended = false;
  #abandoned = false;

  constructor(options: HostedMediaOptions, forwarded: ForwardedSource | undefined) {
    const { source, parts, firstArrivalMs } = options;
    this.#options = options;
    this.forwarded = forwarded;
    const own: Normalisation = parts.manifest.normalisation;
    this.terms = { scales: { own }, pace: 1 };
    const scales = () => this.terms.scales;
    const pace = () => this.terms.pace;
    this.#local = new LocalMedia(source, { ...parts, scales, pace, lender: options.mailbox }, firstArrivalMs);
  }

  /** Its source was left to its owner. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Writes what was counted. */
  count(): void {
    writeCounters(this.#options.counters, this.#local);
  }

  /** Tells what its source has refused when that has changed. Seldom: finding out costs more than counting. */
  tellRefused(): void {
    const { media, source, tell } = this.#options;
    const { refused = {} } = source;
    let sum = 0;
    for (const datagrams of Object.values(refused)) sum += datagrams;
    if (sum === this.#refused) return;
    this.#refused = sum;
    tell({ kind: "refused", media, refused });
  }

  async prepare(run: number): Promise<void> {
    const analysis = await this.#local.prepare();
    if (this.#ended) analysis.discard();
    else this.#prepared.set(run, analysis);
  }

  begin(run: number, start: AnalysisStart): void {
    const analysis = this.#prepared.get(run);
    const { media, tell } = this.#options;
    this.#prepared.delete(run);
    if (analysis === undefined) {
      // Its source ended before it began.
      tell({ kind: "run-over", media, run, error: undefined });
      return;
    }
    const over = (error: unknown): void => {
      this.#running.delete(run);
      this.#latest = undefined;
      this.count();
      tell({ kind: "run-over", media, run, error: error === undefined ? undefined : told(error) });
      this.#forgetIfOver();
    };
    const running = analysis.begin(start).subscribe({
      next: (unit) => tell({ kind: "unit", media, run, unit: this.#toldUnit(unit) }),
      error: over,
      complete: () => over(undefined),
    });
    if (!running.closed) this.#running.set(run, running);
  }

  stop(run: number): void {
    this.#prepared.get(run)?.discard();
    this.#prepared.delete(run);
    // Closes every stage: audio and features are wiped.
    this.#running.get(run)?.unsubscribe();
    this.#running.delete(run);
    this.#latest = undefined;
    this.#forgetIfOver();
  }

  /** Of a window that went out as its fresh frames. */
  tellWhole(run: number, index: number): void {
    const { media, mailbox, tell } = this.#options;
    const latest = this.#running.has(run) && this.#latest?.index === index ? this.#latest : undefined;
    const row = latest?.writeWhole && mailbox.putWhole(latest.writeWhole);
    tell({ kind: "whole", media, run, row });
  }

  /** @param events whether somebody wants packets that are no audio */
  listen(events: boolean): void {
    const { media, tell, source, onPacket } = this.#options;
    const onEventPacket = (packet: RtpPacket): void => tell({ kind: "event-packet", media, packet });
    this.#local.listen({
      onEnd: (error) => {
        if (this.#ended) return;
        this.#ended = true;
        for (const analysis of this.#prepared.values()) analysis.discard();
        this.#prepared.clear();
        this.count();
        this.tellRefused();
        const timedOut = source.timedOut === true;
        tell({ kind: "ended", media, error: error === undefined ? undefined : told(error), timedOut });
        // The runs end after this.
        queueMicrotask(() => this.#forgetIfOver());
      },
      onPacket,
      ...(events ? { onEventPacket } : {}),
    });
  }

  /** Ends all of it but its source. */
  abandon(): void {
    this.#ended = true;
    this.#abandoned = true;
    for (const run of [...this.#prepared.keys(), ...this.#running.keys()]) this.stop(run);
    this.#local.abandon();
    this.#forgetIfOver();
  }

  #forgetIfOver(): void {
    if (this.#ended && this.#running.size === 0) this.#options.onOver();
  }

  /** Features go by the mailbox. Where that is full the main thread is far behind: the window is given up. */
  #toldUnit(unit: HeardUnit): ToldUnit {
    if (unit.kind !== "window") return unit;
    const { mailbox, parts } = this.#options;
    const { freshFeatures, shadowFeatures, writeWhole, index } = unit;
    const { frames, fresh } = unit;
    const info = windowInfo(unit);
    const freshOnly = freshFeatures !== undefined && writeWhole !== undefined;
    this.#latest = freshOnly ? { index, writeWhole } : undefined;
    const row = mailbox.put(freshOnly ? freshFeatures : unit.features);
    if (row === undefined) return { ...info, kind: "dropped", reason: "overload" };
    const shadowRow = shadowFeatures && mailbox.put(shadowFeatures);
    const readyMs = parts.clock.now();
    return { ...info, kind: "window", readyMs, frames, fresh, row, freshOnly, shadowRow };
  }
}
