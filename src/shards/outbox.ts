/** What a shard has to tell, gathered over one turn of its event loop: one message instead of many. */
import type { FromShard, ShardNews } from "./shard-protocol.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

export class Outbox {
  readonly #mailbox: WindowMailbox;
  readonly #send: (news: FromShard) => void;
  #news: ShardNews[] = [];

  constructor(mailbox: WindowMailbox, send: (news: FromShard) => void) {
    this.#mailbox = mailbox;
    this.#send = send;
  }

  readonly put = (news: ShardNews): void => {
    this.#news.push(news);
    if (this.#news.length > 1) return;
    // After the packets that lie in the sockets now.
    setImmediate(() => {
      const all = this.#news;
      this.#news = [];
      if (all.length > 0) this.#send(all);
    });
  };

  /** A run was stopped: what it said is wiped, and not sent. */
  forget(media: number, run: number): void {
    const kept: ShardNews[] = [];
    for (const news of this.#news) {
      if (news.kind !== "unit" || news.media !== media || news.run !== run) kept.push(news);
      else releaseRows(this.#mailbox, news);
    }
    this.#news = kept;
  }
}

/** Wipes the rows of a window that nobody may look at. */
export function releaseRows(mailbox: WindowMailbox, { unit }: Extract<ShardNews, { kind: "unit" }>): void {
  if (unit.kind !== "window") return;
  mailbox.release(unit.row);
  if (unit.shadowRow !== undefined) mailbox.release(unit.shadowRow);
}
