/** What a shard has to tell, gathered over one turn of its event loop: one message, and one waking of the main thread, instead of many. */
import type { FromShard, ShardNews } from "./shard-protocol.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

export class Outbox {
  readonly #mailbox: WindowMailbox;
  readonly #send: (news: FromShard) => void;
  #news: ShardNews[] = [];
  #isDue = false;

  constructor(mailbox: WindowMailbox, send: (news: FromShard) => void) {
    this.#mailbox = mailbox;
    this.#send = send;
  }

  readonly put = (news: ShardNews): void => {
    this.#news.push(news);
    if (this.#isDue) return;
    this.#isDue = true;
    // After the packets that lie in the sockets now.
    setImmediate(() => {
      this.#isDue = false;
      this.flush();
    });
  };

  /** Sends at once what there is. */
  readonly flush = (): void => {
    const all = this.#news;
    this.#news = [];
    if (all.length > 0) this.#send(all);
  };

  /** A run was stopped: what it said is wiped, and not sent. */
  forget(media: number, run: number): void {
    const kept: ShardNews[] = [];
    for (const news of this.#news) {
      const isOfRun =
        (news.kind === "unit" || news.kind === "whole") && news.media === media && news.run === run;
      if (isOfRun) releaseRows(this.#mailbox, news);
      else kept.push(news);
    }
    this.#news = kept;
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
