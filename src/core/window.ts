/** What flows from windows to smoothed emotion: the second half of one participant's chain. */
import type { Normalisation } from "./model.ts";
import type { MonotonicMs, SampleIndex, WallMs } from "./units.ts";

/** When, and on how good audio, a window stands. Every outcome of a window carries it. */
export interface WindowInfo {
  /** Counts the participant's hops from 0, gated ones too: no index is given twice or skipped. */
  readonly index: number;
  readonly start: SampleIndex;
  /** Exclusive. */
  readonly end: SampleIndex;
  /** Media time: ms of audio since the participant's first sample. */
  readonly mediaStartMs: number;
  readonly mediaEndMs: number;
  readonly wallStartMs: WallMs;
  readonly wallEndMs: WallMs;
  /** `ntp`: the sender's clock, from RTCP sender reports; `arrival`: ours, from packet arrival. */
  readonly wallSource: "ntp" | "arrival";
  /** Share of its frames that are speech, 0–1. */
  readonly speechShare: number;
  /** Share of its frames that rest on concealed or lost audio, 0–1. */
  readonly lossShare: number;
  /** Arrival of the packet that completed it. Latency counts from here. */
  readonly arrivalMs: MonotonicMs;
}

/** A window for the model. */
export interface FeatureWindow extends WindowInfo {
  readonly kind: "window";
  /**
   * Normalised features, channel-major [C, T]: features[c · T + t]; zero from `frames` on.
   * Borrowed: valid only during the synchronous emission; the batcher copies it. Where `freshFeatures` are given it is
   * computed when it is first read, because most windows of a stream do without.
   */
  readonly features: Float32Array;
  /** Valid frames, 1…T. */
  readonly frames: number;
  /**
   * Given where windows of a talk-spurt continue each other, on one scale: how many of the last frames came after the
   * window of this key before it; all of `frames` where such a stream begins. Absent: the window stands alone.
   */
  readonly fresh?: number;
  /** Those frames alone, [C, fresh]; borrowed as `features` is. Given only if there are older ones. */
  readonly freshFeatures?: Float32Array;
  /**
   * Given with `freshFeatures`, for who has to ask later: writes `features` into `out`, zeros before, until the chain's next
   * window is made or its frames are overwritten. @returns false when it is too late
   */
  readonly writeWhole?: (out: Float32Array) => boolean;
  /** When it was made, if another thread has held it since: its wait for batch-mates counts from here. */
  readonly readyMs?: MonotonicMs;
  /** The same frames on the scale of a model that judges beside the one in force; borrowed as `features` is. */
  readonly shadowFeatures?: Float32Array;
}

/** Where a window stands among those of its key. */
export interface WindowPlace extends Pick<FeatureWindow, "end" | "frames"> {
  readonly fresh?: number | undefined;
}

/** The scales that a participant's windows are to be brought to. */
export interface WindowScales {
  /** Of the model that judges them. */
  readonly own: Normalisation;
  /** Of one that only looks on. */
  readonly shadow?: Normalisation | undefined;
  /** Frames of the judging model's steps, if it judges windows by their new frames; absent: each window stands alone. */
  readonly strideFrames?: number | undefined;
}

/** A window that does not reach the model, and why. */
export interface GatedWindow extends WindowInfo {
  readonly kind: "gated";
  /**
   * `silence`: too little speech. `too-short`: the talk-spurt has just begun. `loss`: too little real audio.
   * `overload`: left out because the machine has too much to do.
   */
  readonly reason: "silence" | "too-short" | "loss" | "overload";
}

/** A talk-spurt begins or ends. */
export interface SpeechEdge {
  readonly kind: "speech";
  readonly state: "started" | "ended";
  readonly at: SampleIndex;
  readonly mediaMs: number;
  readonly wallMs: WallMs;
  readonly wallSource: "ntp" | "arrival";
  /** Length of the talk-spurt, ms; 0 when it starts. */
  readonly durationMs: number;
  readonly arrivalMs: MonotonicMs;
}

/** What slidingWindows() gives on. */
export type WindowUnit = FeatureWindow | GatedWindow | SpeechEdge;

/** What a participant's media give on. A window may get lost on its way from another thread. */
export type HeardUnit = WindowUnit | DroppedWindow;

/** What the model said of one window. */
export interface EmotionEstimate extends WindowInfo {
  readonly kind: "estimate";
  /** Calibrated probabilities in the order of the model's labels; they sum to 1. */
  readonly probabilities: Float32Array;
  readonly frames: number;
  /** `name@version` of the model that spoke. */
  readonly model: string;
  /** Windows in the batch it ran in. */
  readonly batchSize: number;
  /** Wait for batch-mates and a backend, in the batcher and on the way there, ms. */
  readonly queuedMs: number;
  /** The batch's time in the model, ms. */
  readonly inferenceMs: number;
}

/** A window that was ready for the model but never got an answer. */
export interface DroppedWindow extends WindowInfo {
  readonly kind: "dropped";
  /** `overload`: the queue was full. `deadline`: it waited too long. `backend`: the model failed on it. `closed`: shutting down, or nobody may have its answer. */
  readonly reason: "overload" | "deadline" | "backend" | "closed";
}

/** What inferEmotion() gives on. */
export type EstimateUnit = EmotionEstimate | DroppedWindow | GatedWindow | SpeechEdge;

/** A smoothed, calibrated statement on one window: what events say. */
export interface EmotionResult extends WindowInfo {
  readonly kind: "emotion";
  /** Smoothed probabilities, in the order of the model's labels. */
  readonly scores: Float32Array;
  /** The expression in force after hysteresis: an index into the labels. */
  readonly top: number;
  /** Smoothed probability of `top`. */
  readonly confidence: number;
  /** The model is too unsure to be believed: show nothing rather than `top`. */
  readonly abstained: boolean;
  /** −1 (unpleasant) … 1 (pleasant). */
  readonly valence: number;
  /** −1 (calm) … 1 (excited). */
  readonly arousal: number;
  readonly model: string;
  readonly batchSize: number;
  readonly queuedMs: number;
  readonly inferenceMs: number;
}

/** What smoothEmotion() gives on: the end of a participant's chain. */
export type EmotionUnit = EmotionResult | DroppedWindow | GatedWindow | SpeechEdge;

/** Highest first. A window waits while one of a higher priority does. */
export const WINDOW_PRIORITIES = ["high", "normal", "low"] as const;
export type WindowPriority = (typeof WINDOW_PRIORITIES)[number];

/** Whose window it is, where windows share a model. Keep one object a participant: it is read for every window. */
export interface WindowOwner {
  /** Calls of a tenant take equal turns. Default: the key. */
  readonly call?: string;
  /** Tenants take turns by their weight. Default: the tenant without a name. */
  readonly tenant?: string;
  /** Default `normal`. */
  readonly priority?: WindowPriority;
  /** Its own deadline, ms, instead of the batcher's. Above the batcher's longest delay, up to 60,000. */
  readonly deadlineMs?: number;
}

/** Where windows of all calls meet. Implemented by inference/batcher.ts; inferEmotion() needs no more than this. */
export interface WindowBatcher {
  /**
   * Copies the window's features at once and answers when the window's batch has run. Never rejects:
   * overload, deadline and failure are answers.
   * @param key whose window it is (call and participant); answers of one key come in the order of its submits.
   */
  submit(key: string, window: FeatureWindow, owner?: WindowOwner): Promise<EmotionEstimate | DroppedWindow>;
  /**
   * Whether the window, were it submitted now, would be judged by its fresh frames: its `features` would not be read.
   * Absent: never.
   */
  needsFreshOnly?(key: string, window: WindowPlace, owner?: WindowOwner): boolean;
  /**
   * Consent is gone, or its voice has left: wipes what waits of one key and what a model carries of it from window to
   * window, at once. What is in the model at this moment is wiped when that batch is done, some ms later.
   * @returns windows that waited
   */
  forget?(key: string): number;
}
