/** slidingWindows(): feature frames → normalised windows for the model on a grid of media time. Gating is here; judging is inference's. */
import type { OperatorFunction } from "rxjs";
import { assertRange } from "../core/errors.ts";
import { type FeatureSpec, featureChannels } from "../core/feature-spec.ts";
import type { FrameStore, FrameUnit } from "../core/media.ts";
import type { MediaClock } from "../core/media-clock.ts";
import type { ModelManifest } from "../core/model.ts";
import { type MonotonicMs, SAMPLES_PER_MS, sampleIndex } from "../core/units.ts";
import type { GatedWindow, SpeechEdge, WindowInfo, WindowScales, WindowUnit } from "../core/window.ts";
import type { WindowLender } from "./scratch.ts";
import { type Stage, stageOperator } from "./stage.ts";
import { spurtLength, type TalkSpurt, TalkSpurts } from "./talk-spurts.ts";
import { DEFAULT_HANGOVER_MS } from "./voice-activity.ts";
import { WindowScaler } from "./window-scaler.ts";

export interface SlidingWindowsOptions {
  /** Whose windows these are: frames T, fewest frames, features and their scale. */
  readonly model: Pick<ModelManifest, "features" | "window" | "normalisation">;
  /**
   * Asked at every tick: whose scale windows are brought to, when models change while people talk. Default: the model's.
   * Answer with the same objects as long as nothing changes.
   */
  readonly scales?: () => WindowScales;
  /** Tells wall time; decodeAudio() of the same chain feeds it. */
  readonly mediaClock: MediaClock;
  /** Lends the memory that windows are made in; default: memory that this thread's chains share. */
  readonly lender?: WindowLender;
  /** ms of media between windows. 50–5,000, default 500. */
  readonly hopMs?: number;
  /** ms of a talk-spurt before its first window. 100–10,000, default 1,000. */
  readonly minWindowMs?: number;
  /** Share of a window's frames that must be speech. 0–1, default 0.3. */
  readonly minSpeechShare?: number;
  /** Share of concealed or lost frames above which a window is gated. 0–1, default 0.5. */
  readonly maxLossShare?: number;
  /** The longest pause within a talk-spurt, ms. 0–2,000, default 300; give voice activity the same. */
  readonly hangoverMs?: number;
  /** ms before (and, for a talk-spurt that is over, after) speech that a window includes. 0–1,000, default 100. */
  readonly prerollMs?: number;
  /**
   * Asked at every tick: one window in so many is judged, 1 all, Infinity none. The others are gated `overload`; a
   * talk-spurt too short for two windows keeps its only one unless it is Infinity. Default: all.
   */
  readonly pace?: () => number;
  /** Number of the first window: numbers go on after a pause. Default 0. */
  readonly firstIndex?: number;
}

/** Media time that a gap may jump and its ticks still be told; over a longer one the grid starts anew. */
const MAX_TOLD_GAP = 10_000 * SAMPLES_PER_MS;

/**
 * Every hop of media time there is one tick, and each gives exactly one outcome, numbered without a break for the
 * participant's life:
 * - no talk-spurt is open: gated `silence` (`loss` if the audio was lost);
 * - one is open, but younger than `minWindowMs` or the model's fewest frames: gated `too-short`;
 * - else a window from its start (less `prerollMs`), or of the last T frames, to the tick; gated `loss` or `silence`
 *   if it holds too much lost audio or too little speech.
 * - a window that `pace` leaves out: gated `overload`.
 *
 * A talk-spurt that ended before its first window is judged at the next tick if it has the model's fewest frames,
 * from start to end; if it is the source that ends, stalls or resets, that tick is taken at once.
 *
 * The grid begins at a reset's `start`, and so anew at each; but over a "gap" of at most 10 s it goes on, and the
 * ticks that the gap swallowed are told as `silence`. What is left of a hop at a reset or at the end has no outcome.
 * A frame stands for its first hop: a window of n frames is n hops long. Speech edges are emitted when they are
 * certain (a start after 50 ms, an end after the hangover) and bear the media time at which they were.
 *
 * For a model that judges windows by their new frames (`scales`), windows of an open talk-spurt continue each other:
 * they are cut to whole steps and say what is `fresh`, and their scale is frozen; it is renewed with each talk-spurt and
 * whenever the speech heard has grown by half, and then a window begins anew.
 * @throws TonetapError invalid-argument when an option is out of range or the normalisation does not fit.
 */
export function slidingWindows(options: SlidingWindowsOptions): OperatorFunction<FrameUnit, WindowUnit> {
  const { features, window, normalisation } = options.model;
  assertRange("hopMs", options.hopMs ?? 500, 50, 5_000, "ms");
  assertRange("minWindowMs", options.minWindowMs ?? 1_000, 100, 10_000, "ms");
  assertRange("minSpeechShare", options.minSpeechShare ?? 0.3, 0, 1);
  assertRange("maxLossShare", options.maxLossShare ?? 0.5, 0, 1);
  assertRange("hangoverMs", options.hangoverMs ?? DEFAULT_HANGOVER_MS, 0, 2_000, "ms");
  assertRange("prerollMs", options.prerollMs ?? 100, 0, 1_000, "ms");
  assertRange("window.frames", window.frames, 1, 3_000);
  assertRange("window.minFrames", window.minFrames, 1, window.frames);
  const scaler = (): WindowScaler =>
    new WindowScaler({
      lender: options.lender,
      normalisation,
      channels: featureChannels(features),
      frames: window.frames,
      hopFrames: ((options.hopMs ?? 500) * SAMPLES_PER_MS) / features.hopLength,
      scales: options.scales,
    });
  // What does not fit is said now, not when the first participant comes.
  scaler();
  return stageOperator((emit) => new WindowMaking(options, scaler(), emit));
}

type FramesUnit = Extract<FrameUnit, { kind: "frames" }>;
type ResetUnit = Extract<FrameUnit, { kind: "reset" }>;

class WindowMaking implements Stage<FrameUnit> {
  readonly #emit: (unit: WindowUnit) => void;
  readonly #mediaClock: MediaClock;
  readonly #scaler: WindowScaler;
  readonly #pace: () => number;
  readonly #spurts: TalkSpurts;
  readonly #spec: FeatureSpec;
  /** T, and the fewest frames that the model judges. */
  readonly #frames: number;
  readonly #minFrames: number;
  /** Age of an open talk-spurt at its first window. */
  readonly #minAge: number;
  readonly #preroll: number;
  readonly #minSpeechShare: number;
  readonly #maxLossShare: number;
  /** Samples between ticks. */
  readonly #hop: number;
  #index: number;
  #store: FrameStore | undefined;
  #arrivalMs: MonotonicMs | undefined;
  /** Sample at which frame 0 begins. */
  #origin = 0;
  #nextTick = 0;
  #placed = false;
  /** Frames taken in, and complete in the store. */
  #taken = 0;
  #complete = 0;
  readonly #holds = (frame: number): boolean =>
    this.#store !== undefined && frame >= this.#complete - this.#store.capacity;

  constructor(options: SlidingWindowsOptions, scaler: WindowScaler, emit: (unit: WindowUnit) => void) {
    this.#index = options.firstIndex ?? 0;
    const { features, window } = options.model;
    this.#emit = emit;
    this.#mediaClock = options.mediaClock;
    this.#scaler = scaler;
    this.#pace = options.pace ?? (() => 1);
    this.#spec = features;
    const inFrames = (ms: number): number => Math.round((ms * SAMPLES_PER_MS) / features.hopLength);
    this.#spurts = new TalkSpurts(inFrames(options.hangoverMs ?? DEFAULT_HANGOVER_MS));
    this.#frames = window.frames;
    this.#minFrames = window.minFrames;
    this.#minAge = Math.min(
      window.frames,
      Math.max(window.minFrames, inFrames(options.minWindowMs ?? 1_000)),
    );
    this.#preroll = inFrames(options.prerollMs ?? 100);
    this.#minSpeechShare = options.minSpeechShare ?? 0.3;
    this.#maxLossShare = options.maxLossShare ?? 0.5;
    this.#hop = Math.round((options.hopMs ?? 500) * SAMPLES_PER_MS);
  }

  take(unit: FrameUnit): void {
    this.#arrivalMs = unit.arrivalMs;
    switch (unit.kind) {
      case "frames":
        this.#takeFrames(unit);
        break;
      case "stalled":
        this.#finish(unit.arrivalMs);
        break;
      case "reset":
        this.#reset(unit);
        break;
      default:
        unit satisfies never;
    }
  }

  end(): void {
    if (this.#arrivalMs !== undefined) this.#finish(this.#arrivalMs);
  }

  close(): void {
    this.#scaler.forget();
    this.#store = undefined;
  }

  #takeFrames({ store, first, count, origin, arrivalMs }: FramesUnit): void {
    if (!this.#placed) this.#place(origin);
    this.#store = store;
    this.#complete = first + count;
    for (let frame = first; frame < this.#complete; frame++) {
      this.#taken = frame + 1;
      const change = this.#spurts.take(store, frame);
      if (change === "started") this.#edge("started", this.#spurts.open, arrivalMs);
      if (change === "ended") this.#edge("ended", this.#spurts.end(), arrivalMs);
      const reached = this.#origin + this.#taken * this.#spec.hopLength;
      for (; this.#nextTick <= reached; this.#nextTick += this.#hop) {
        const end = Math.floor((this.#nextTick - this.#origin) / this.#spec.hopLength);
        this.#tick(store, end, arrivalMs);
      }
    }
  }

  #reset({ reason, start, arrivalMs }: ResetUnit): void {
    this.#finish(arrivalMs);
    const told = reason === "gap" && this.#placed && start - this.#nextTick <= MAX_TOLD_GAP;
    for (; told && this.#nextTick <= start; this.#nextTick += this.#hop) {
      const info = this.#info(this.#nextTick - this.#hop, this.#nextTick, 0, 0, arrivalMs);
      this.#emit({ kind: "gated", reason: "silence", ...info });
    }
    const nextTick = this.#nextTick;
    this.#place(start);
    if (told) this.#nextTick = nextTick;
    // What was learnt of a voice and its microphone holds over pauses, not for another stream.
    if (reason === "start" || reason === "ssrc") this.#scaler.forget();
  }

  #place(origin: number): void {
    this.#placed = true;
    this.#origin = origin;
    this.#nextTick = origin + this.#hop;
    this.#taken = 0;
    this.#complete = 0;
    this.#scaler.restart();
    this.#store = undefined;
    this.#spurts.reset();
  }

  /** Nothing follows, for now: closes the open talk-spurt, and judges it at once if it never was. */
  #finish(arrivalMs: MonotonicMs): void {
    this.#edge("ended", this.#spurts.end(), arrivalMs);
    if (this.#store === undefined || spurtLength(this.#spurts.unjudged) < this.#minFrames) return;
    // The next tick, taken early: it keeps its number and its place in the grid.
    this.#nextTick += this.#hop;
    this.#tick(this.#store, this.#taken, arrivalMs);
  }

  /** @param end frames before the tick. */
  #tick(store: FrameStore, end: number, arrivalMs: MonotonicMs): void {
    const held = Math.max(0, this.#complete - store.capacity);
    this.#scaler.followModels();
    this.#scaler.learn(store, end, held);
    const oldest = Math.max(held, end - this.#frames);
    const { open, unjudged } = this.#spurts;
    this.#spurts.settle();
    if (unjudged !== undefined) {
      const last = Math.min(end, unjudged.last + 1 + this.#preroll);
      const first = Math.max(held, last - this.#frames, unjudged.first - this.#preroll);
      const enough = Math.min(spurtLength(unjudged), last - first) >= this.#minFrames;
      const verdict = this.#pace() === Number.POSITIVE_INFINITY ? "overload" : "judge";
      this.#give(store, first, last, enough ? verdict : "too-short", arrivalMs);
    } else if (open === undefined) {
      this.#give(store, Math.min(oldest, end), end, "silence", arrivalMs);
    } else {
      const cut = Math.min(end, Math.max(oldest, open.first - this.#preroll));
      const first = this.#scaler.align(cut, end, oldest);
      open.judged = end - open.first >= this.#minAge;
      const verdict = this.#index % this.#pace() === 0 ? "judge" : "overload";
      this.#give(store, first, end, open.judged ? verdict : "too-short", arrivalMs, open);
    }
  }

  /** The tick's outcome over frames [first, end). */
  #give(
    store: FrameStore,
    first: number,
    end: number,
    verdict: "judge" | "silence" | "too-short" | "overload",
    arrivalMs: MonotonicMs,
    open?: TalkSpurt,
  ): void {
    const frames = Math.max(0, end - first);
    let speech = 0;
    let lost = 0;
    for (let frame = first; frame < end; frame++) {
      speech += Number(store.isSpeech(frame));
      lost += Number(store.isLost(frame));
    }
    const speechShare = speech / Math.max(1, frames);
    const lossShare = lost / Math.max(1, frames);
    const hop = this.#spec.hopLength;
    const from = this.#origin + first * hop;
    const info = this.#info(from, this.#origin + end * hop, speechShare, lossShare, arrivalMs);
    const gate = (reason: GatedWindow["reason"]): void => this.#emit({ kind: "gated", reason, ...info });
    if (verdict === "too-short") gate("too-short");
    else if (lossShare > this.#maxLossShare) gate("loss");
    else if (verdict === "silence" || speechShare < this.#minSpeechShare) gate("silence");
    else if (verdict === "overload") gate("overload");
    else this.#scaler.give(store, first, end, info, open, this.#holds, this.#emit);
  }

  #edge(state: SpeechEdge["state"], spurt: TalkSpurt | undefined, arrivalMs: MonotonicMs): void {
    if (spurt === undefined) return;
    const { hopLength, frameLength } = this.#spec;
    // A frame becomes speech with its last hop and remains speech up to its first: that is where the edges are.
    const overlap = spurt.first === 0 ? 0 : frameLength - hopLength;
    const started = this.#origin + spurt.first * hopLength + overlap;
    const ended = Math.max(started, this.#origin + (spurt.last + 1) * hopLength);
    const at = sampleIndex(state === "started" ? started : ended);
    const { wallMs, source } = this.#mediaClock.wallOf(at);
    this.#emit({
      kind: "speech",
      state,
      at,
      mediaMs: at / SAMPLES_PER_MS,
      wallMs,
      wallSource: source,
      durationMs: state === "started" ? 0 : (ended - started) / SAMPLES_PER_MS,
      arrivalMs,
    });
  }

  /** Numbers an outcome: call once for each. */
  #info(
    from: number,
    to: number,
    speechShare: number,
    lossShare: number,
    arrivalMs: MonotonicMs,
  ): WindowInfo {
    const start = sampleIndex(from);
    const end = sampleIndex(to);
    const wallEnd = this.#mediaClock.wallOf(end);
    return {
      index: this.#index++,
      start,
      end,
      mediaStartMs: start / SAMPLES_PER_MS,
      mediaEndMs: end / SAMPLES_PER_MS,
      wallStartMs: this.#mediaClock.wallOf(start).wallMs,
      wallEndMs: wallEnd.wallMs,
      wallSource: wallEnd.source,
      speechShare,
      lossShare,
      arrivalMs,
    };
  }
}
