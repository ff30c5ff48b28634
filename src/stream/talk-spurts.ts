/** Finds talk-spurts in per-frame speech flags. What is done with them is sliding-windows.ts; the flags are voice-activity.ts. */
import type { FrameStore } from "../core/media.ts";

/** From the first to the last speech frame, pauses up to the hangover included. */
export interface TalkSpurt {
  readonly first: number;
  last: number;
  /** A window of it went to the model, or was weighed and gated. */
  judged: boolean;
}

export class TalkSpurts {
  readonly #hangover: number;
  #open: TalkSpurt | undefined;
  #unjudged: TalkSpurt | undefined;
  /** No spurt begins before this frame: the one before it has been reported. */
  #earliest = 0;

  /** @param hangoverFrames the longest pause within a talk-spurt. */
  constructor(hangoverFrames: number) {
    this.#hangover = hangoverFrames;
  }

  /** The talk-spurt that is going on, its latest pause included. */
  get open(): TalkSpurt | undefined {
    return this.#open;
  }

  /** The longest that has ended without having been judged. */
  get unjudged(): TalkSpurt | undefined {
    return this.#unjudged;
  }

  /** Takes the next frame in. @returns what it shows: a start, or that the open spurt has ended (call `end`). */
  take(store: FrameStore, frame: number): "started" | "ended" | undefined {
    if (store.isSpeech(frame)) {
      if (this.#open !== undefined) {
        this.#open.last = frame;
        return undefined;
      }
      this.#open = { first: this.#startOf(store, frame), last: frame, judged: false };
      return "started";
    }
    return this.#open !== undefined && frame - this.#open.last > this.#hangover ? "ended" : undefined;
  }

  /** Ends the open spurt. @returns it. */
  end(): TalkSpurt | undefined {
    const spurt = this.#open;
    if (spurt === undefined) return undefined;
    this.#open = undefined;
    this.#earliest = spurt.last + 1;
    if (!spurt.judged && spurtLength(spurt) > spurtLength(this.#unjudged)) this.#unjudged = spurt;
    return spurt;
  }

  /** The unjudged spurt has had its turn. */
  settle(): void {
    this.#unjudged = undefined;
  }

  /** Frame numbers begin anew. */
  reset(): void {
    this.#open = undefined;
    this.#unjudged = undefined;
    this.#earliest = 0;
  }

  /** Speech is recognised a few frames late; its flags are set in the past then, and followed back here. */
  #startOf(store: FrameStore, frame: number): number {
    let first = frame;
    const oldest = Math.max(this.#earliest, frame + 1 - store.capacity);
    for (let back = frame - 1; back >= oldest && first - back <= this.#hangover + 1; back--) {
      if (store.isSpeech(back)) first = back;
    }
    return first;
  }
}

/** Frames of a spurt. */
export const spurtLength = (spurt: TalkSpurt | undefined): number =>
  spurt === undefined ? 0 : spurt.last + 1 - spurt.first;
