/**
 * Which windows continue the one before them frame for frame on one scale, so that a model need see only their new
 * frames. Cutting and scaling them is sliding-windows.ts; what a model makes of it is inference's.
 */
import type { TalkSpurt } from "./talk-spurts.ts";

/** A scale is renewed when the speech that it rests on has grown by this factor. */
const GROWTH = 1.5;

export class WindowContinuity {
  readonly #hopFrames: number;
  /** Frames of a model's step; 0: every window stands alone. */
  #stride = 0;
  #spurt: TalkSpurt | undefined;
  /** Of the last window of the stream, exclusive. */
  #end = 0;
  /** Speech frames that the scale rests on. */
  #heard = 0;

  /** @param hopFrames frames between ticks; steps that do not divide it leave every window alone */
  constructor(hopFrames: number) {
    this.#hopFrames = hopFrames;
  }

  /** Whether windows are cut for a model that continues. */
  get active(): boolean {
    return this.#stride > 0;
  }

  /** Another model judges from here on, in steps of so many frames; undefined: one that needs each window whole. */
  follow(strideFrames: number | undefined): void {
    this.break();
    this.#stride = strideFrames !== undefined && this.#hopFrames % strideFrames === 0 ? strideFrames : 0;
  }

  /** The next window begins anew. */
  break(): void {
    this.#spurt = undefined;
  }

  /**
   * Moves a window's first frame so that whole steps lead to its end: back where those frames are held, else forward.
   * @param oldest first frame that the window may have
   */
  align(first: number, end: number, oldest: number): number {
    if (!this.active) return first;
    const over = (end - first) % this.#stride;
    if (over === 0) return first;
    const back = first - (this.#stride - over);
    return back >= oldest ? back : first + over;
  }

  /**
   * @param heard speech frames of this voice so far
   * @returns how many of the window's last frames are new since the last one that was noted; all `frames` where it has to
   * begin anew: another talk-spurt, too long a break, or a scale that rests on too little
   */
  fresh(spurt: TalkSpurt, frames: number, end: number, heard: number): number {
    const fresh = end - this.#end;
    const outgrown = heard > this.#heard && heard >= GROWTH * this.#heard;
    return spurt !== this.#spurt || outgrown || fresh >= frames ? frames : fresh;
  }

  /** The window that ends at `end` goes out. @param begins with a scale that rests on `heard` frames */
  note(spurt: TalkSpurt, end: number, begins: boolean, heard: number): void {
    this.#end = end;
    if (!begins) return;
    this.#spurt = spurt;
    this.#heard = heard;
  }
}
