/**
 * What a shard has to tell, gathered: one message, and one waking of the main thread, instead of many. What somebody waits for
 * goes out at the end of the turn, what became of audio a little later.
 */
import type { Clock } from "../core/clock.ts";
import type { FromShard, ShardNews } from "./shard-protocol.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

export interface OutboxOptions {
  readonly clock: Clock;
  readonly mailbox: WindowMailbox;
  /** How long windows may wait for others, ms; 0: until the end of the turn. */
  readonly gatherMs: number;
  readonly send: (news: FromShard) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #news: ShardNews[] = [];
  /** All goes out at the end of this turn. */
  #isDue = false;
  #cancelGathering: (() => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  readonly put = (news: ShardNews): void => {
    const { clock, gatherMs } = this.#options;
    this.#news.push(news);
    if (this.#isDue) return;
    if (news.kind === "unit" && gatherMs > 0) {
      this.#cancelGathering ??= clock.schedule(gatherMs, () => this.#flush());
      return;
    }
    this.#isDue = true;
    // After the packets that lie in the sockets now.
    setImmediate(() => this.#flush());
  };

  /** A run was stopped: what it said is wiped, and not sent. */
  forget(media: number, run: number): void {
    const kept: ShardNews[] = [];
    for (const news of this.#news) {
      const isOfRun =
        (news.kind === "unit" || news.kind === "whole") && news.media === media && news.run === run;
      if (isOfRun) releaseRows(this.#options.mailbox, news);
      else kept.push(news);
    }
    this.#news = kept;
  }

  #flush(): void {
    const all = this.#news;
    this.#news = [];
    this.#isDue = false;
    this.#cancelGathering?.();
    this.#cancelGathering = undefined;
    if (all.length > 0) this.#options.send(all);
  }
}

/** Wipes the rows of what nobody may look at. */
export function releaseRows(mailbox: WindowMailbox, news: ShardNews): void {
  if (news.kind === "whole") {
    if (news.row !== undefined) mailbox.release(news.row);
    return;
  }
  if (news.kind !== "unit" || news.unit.kind !== "window") return;
  const { row, shadowRow } = news.unit;
  mailbox.release(row);
  if (shadowRow !== undefined) mailbox.release(shadowRow);
}
