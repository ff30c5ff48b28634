/** A window that a shard has made, as the main thread judges it: its features lie in the mailbox. */
import { TonetapError } from "../core/errors.ts";
import type { MonotonicMs, SampleIndex, WallMs } from "../core/units.ts";
import type { FeatureWindow } from "../core/window.ts";
import type { ToldWindow } from "./shard-protocol.ts";
import type { WindowMailbox } from "./window-mailbox.ts";

/** A class, field by field: of a literal with a getter V8 asks its runtime, for each window anew. */
export class ArrivedWindow implements FeatureWindow {
  readonly kind = "window";
  readonly index: number;
  readonly start: SampleIndex;
  readonly end: SampleIndex;
  readonly mediaStartMs: number;
  readonly mediaEndMs: number;
  readonly wallStartMs: WallMs;
  readonly wallEndMs: WallMs;
  readonly wallSource: "ntp" | "arrival";
  readonly speechShare: number;
  readonly lossShare: number;
  readonly arrivalMs: MonotonicMs;
  readonly readyMs: MonotonicMs;
  readonly frames: number;
  readonly fresh?: number;
  readonly freshFeatures?: Float32Array;
  readonly shadowFeatures?: Float32Array;
  readonly #features: Float32Array | undefined;

  /** @param row where its features lie; borrowed, as they are */
  constructor(told: ToldWindow, row: number, mailbox: WindowMailbox) {
    this.index = told.index;
    this.start = told.start;
    this.end = told.end;
    this.mediaStartMs = told.mediaStartMs;
    this.mediaEndMs = told.mediaEndMs;
    this.wallStartMs = told.wallStartMs;
    this.wallEndMs = told.wallEndMs;
    this.wallSource = told.wallSource;
    this.speechShare = told.speechShare;
    this.lossShare = told.lossShare;
    this.arrivalMs = told.arrivalMs;
    this.readyMs = told.readyMs;
    this.frames = told.frames;
    if (told.fresh !== undefined) this.fresh = told.fresh;
    if (told.shadowRow !== undefined) this.shadowFeatures = mailbox.at(told.shadowRow);
    if (told.freshOnly) this.freshFeatures = mailbox.at(row);
    else this.#features = mailbox.at(row);
  }

  get features(): Float32Array {
    if (this.#features !== undefined) return this.#features;
    throw new TonetapError("internal", "a window was to be judged by its fresh frames, and was read whole");
  }
}
