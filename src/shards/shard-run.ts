/**
 * One analysis in a shard, as the main thread sees it: gives its units on in order. A window comes as its fresh frames; where
 * those are not enough the rest is fetched, and what comes after waits. Which run is the current one is shard-media.ts.
 */
import type { Subscriber } from "rxjs";
import type { TonetapError } from "../core/errors.ts";
import type { HeardUnit } from "../core/window.ts";
import { droppedWindow } from "../core/window-info.ts";
import type { MediaParts } from "../media-host.ts";
import { ArrivedWindow } from "./arrived-window.ts";
import { releaseRows } from "./outbox.ts";
import type { ShardLink } from "./shard-link.ts";
import type { ShardNews, ToldWindow } from "./shard-protocol.ts";
import { untold } from "./told-error.ts";

type Kind<K extends ShardNews["kind"]> = Extract<ShardNews, { kind: K }>;
export type RunNews = Kind<"unit" | "whole" | "run-over">;

export interface ShardRunOptions {
  readonly media: number;
  readonly run: number;
  readonly link: Pick<ShardLink, "mailbox" | "order">;
  readonly subscriber: Subscriber<HeardUnit>;
  readonly needsFreshOnly: MediaParts["needsFreshOnly"];
  /** The shard says that it is over; its subscriber is told after. */
  readonly onOver: () => void;
}

export class ShardRun {
  readonly #options: ShardRunOptions;
  /** A window whose rest is being fetched, and what came after it. */
  #awaited: ToldWindow | undefined;
  #behind: RunNews[] = [];

  constructor(options: ShardRunOptions) {
    this.#options = options;
  }

  get number(): number {
    return this.#options.run;
  }

  receive(news: RunNews): void {
    if (news.kind === "whole") this.#fetched(news);
    else if (this.#awaited === undefined) this.#take(news);
    else this.#behind.push(news);
  }

  /** Nothing of it may be looked at any more. What is under way in the shard is wiped as it comes. */
  stop(): void {
    const { mailbox } = this.#options.link;
    if (this.#awaited !== undefined) this.#release(this.#awaited);
    this.#awaited = undefined;
    for (const news of this.#behind.splice(0)) releaseRows(mailbox, news);
  }

  fail(error: TonetapError): void {
    this.#options.subscriber.error(error);
  }

  /** Its shard broke down. What it said before is judged. */
  lost(): void {
    while (this.#awaited !== undefined) this.#fetched({ row: undefined });
    this.#options.subscriber.complete();
  }

  #take(news: Exclude<RunNews, { kind: "whole" }>): void {
    const { link, media, run, subscriber, needsFreshOnly, onOver } = this.#options;
    if (news.kind === "run-over") {
      onOver();
      if (news.error === undefined) subscriber.complete();
      else subscriber.error(untold(news.error));
      return;
    }
    const { unit } = news;
    if (unit.kind !== "window") subscriber.next(unit);
    else if (!unit.freshOnly || needsFreshOnly(unit)) this.#give(unit, unit.row);
    else {
      this.#awaited = unit;
      link.order({ kind: "whole", media, run, index: unit.index });
    }
  }

  /** @param row undefined: it came too late */
  #fetched({ row }: Pick<Kind<"whole">, "row">): void {
    const { subscriber, link } = this.#options;
    const awaited = this.#awaited;
    this.#awaited = undefined;
    if (awaited !== undefined && row !== undefined) this.#give({ ...awaited, freshOnly: false }, row);
    else if (awaited !== undefined) {
      this.#release(awaited);
      subscriber.next(droppedWindow(awaited, "overload"));
    }
    if (row !== undefined) link.mailbox.release(row);
    while (this.#awaited === undefined) {
      const next = this.#behind.shift();
      if (next === undefined) return;
      this.receive(next);
    }
  }

  /** @param row where its features lie */
  #give(told: ToldWindow, row: number): void {
    const { subscriber, link } = this.#options;
    subscriber.next(new ArrivedWindow(told, row, link.mailbox));
    this.#release(told);
  }

  #release(unit: ToldWindow): void {
    const { media, run, link } = this.#options;
    releaseRows(link.mailbox, { kind: "unit", media, run, unit });
  }
}
