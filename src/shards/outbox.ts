/**
 * What a shard has to tell, gathered: one message, and one waking of the main thread, instead of many. Windows, and the edges of
 * speech between them, wait there for others (departures.ts); all else goes out when the turn of the event loop is over, and what waits before it.
 */
import type { Clock } from "../core/clock.ts";
import type { MonotonicMs } from "../core/units.ts";
import type { Departures } from "./departures.ts";
import type { FromShard, ShardNews, WindowNews } from "./shard-protocol.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

export interface OutboxOptions {
  readonly clock: Clock;
  readonly mailbox: WindowMailbox;
  readonly departures: Departures;
  /** Windows that are a batch: as many wait for no others. */
  readonly batch: number;
  readonly send: (news: FromShard) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #news: ShardNews[] = [];
  #isDue = false;
  /** When what waits departs, if it waits. */
  #departsMs: MonotonicMs | undefined;
  #isTimed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  readonly put = (news: ShardNews): void => {
    this.#news.push(news);
    if (this.#isDue || (mayWait(news) && this.#news.length < this.#options.batch && this.#waits())) return;
    this.#isDue = true;
    // After the packets that lie in the sockets now.
    setImmediate(() => {
      if (this.#isDue) this.#flush();
    });
  };

  /** Sends what there is, if it is due. @returns when what then waits will be, ms; infinite if nothing does */
  readonly speak = (nowMs: number): number => {
    if (this.#isDue || (this.#departsMs !== undefined && this.#departsMs <= nowMs)) this.#flush();
    return this.#departsMs ?? Number.POSITIVE_INFINITY;
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

  /** @returns false: it goes out at once */
  #waits(): boolean {
    this.#departsMs ??= this.#options.departures.next();
    if (this.#departsMs === undefined) return false;
    this.#time(this.#departsMs);
    return true;
  }

  /** One timer at a time: to be woken too early, for what has gone already, is cheaper than to cancel. */
  #time(departsMs: MonotonicMs): void {
    if (this.#isTimed) return;
    const { clock } = this.#options;
    this.#isTimed = true;
    clock.schedule(Math.max(0, departsMs - clock.now()), () => {
      this.#isTimed = false;
      this.speak(clock.now());
      if (this.#departsMs !== undefined) this.#time(this.#departsMs);
    });
  }

  #flush(): void {
    const { send, mailbox } = this.#options;
    const all = this.#news;
    this.#news = [];
    this.#isDue = false;
    this.#departsMs = undefined;
    if (all.length > 0) send(all.map((news) => (isWindow(news) ? mailbox.seal(news) : news)));
  }
}

const isWindow = (news: ShardNews): news is WindowNews => news.kind === "unit" && news.unit.kind === "window";

/**
 * A window waits for batch-mates anyhow, and nobody waits for word of one that is not judged. An edge of speech is as late as
 * a window would be: in a conversation edges are as many as batches, and each would wake the main thread.
 */
const mayWait = (news: ShardNews): boolean => news.kind === "unit";

/** Wipes the rows of what nobody may look at. */
export function releaseRows(mailbox: WindowMailbox, news: ShardNews): void {
  if (news.kind === "whole") {
    if (news.row !== undefined) mailbox.release(news.row);
    return;
  }
  if (!isWindow(news)) return;
  const { row, shadowRow } = news.unit;
  mailbox.release(row);
  if (shadowRow !== undefined) mailbox.release(shadowRow);
}
