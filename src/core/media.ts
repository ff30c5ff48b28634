/** What flows between the operators of one participant's chain, from packets to feature frames. */
import type { AudioLevel } from "./rtp.ts";
import type { MonotonicMs, RtpTicks, SampleIndex } from "./units.ts";

/** A payload with its type, as taken from a packet. */
export interface CodedAudio {
  readonly payload: Uint8Array;
  readonly payloadType: number;
}

/**
 * What the jitter buffer gives to the decoder, in playout order, each stretch of media time exactly once.
 * - `packet`: a payload to decode.
 * - `lost`: one packet that did not come in time. `next` is the packet after it when that one is there,
 *   so that its in-band FEC can be used (RFC 6716 §2.1.7).
 * - `gap`: the sender sent nothing on purpose (DTX, mute): sequence numbers go on, timestamps jump.
 * - `stalled`: nothing has come for the stall time; a talk-spurt must not stay open. Media time does not move.
 * - `reset`: a new stream begins (first packet, new SSRC, a jump too large to be loss); all history is void.
 */
export type MediaUnit =
  | {
      readonly kind: "packet";
      readonly ticks: RtpTicks;
      readonly clockRateHz: number;
      readonly audio: CodedAudio;
      readonly arrivalMs: MonotonicMs;
      readonly audioLevel?: AudioLevel;
      /** It was lost, and this is a copy of it: RFC 2198. */
      readonly recovered?: true;
    }
  | {
      readonly kind: "lost";
      readonly ticks: RtpTicks;
      readonly clockRateHz: number;
      readonly durationTicks: number;
      readonly next?: CodedAudio;
      readonly arrivalMs: MonotonicMs;
    }
  | {
      readonly kind: "gap";
      readonly ticks: RtpTicks;
      readonly clockRateHz: number;
      readonly durationTicks: number;
      readonly arrivalMs: MonotonicMs;
    }
  | { readonly kind: "stalled"; readonly arrivalMs: MonotonicMs }
  | {
      readonly kind: "reset";
      readonly reason: "start" | "ssrc" | "jump";
      /** Whose packets follow: only its sender reports tell their time. */
      readonly ssrc?: number;
      readonly arrivalMs: MonotonicMs;
    };

/**
 * Where PCM came from: really decoded; recovered from the next packet's FEC or a RED copy; concealed by the
 * decoder's PLC; silence standing for lost audio that PLC cannot cover; or silence the sender meant (DTX, mute).
 */
export type PcmOrigin = "decoded" | "recovered" | "concealed" | "lost" | "dtx";

/** What decodeAudio() gives on: PCM without holes, or a break in it. */
export type PcmUnit =
  | {
      readonly kind: "pcm";
      /** Mono, 16 kHz, clamped to [−1, 1]. Borrowed: valid only during the synchronous emission. */
      readonly samples: Float32Array;
      /** Position of samples[0]; consecutive units are contiguous until a `reset`. */
      readonly start: SampleIndex;
      readonly origin: PcmOrigin;
      readonly arrivalMs: MonotonicMs;
      readonly audioLevel?: AudioLevel;
    }
  /** See MediaUnit. Passed on. */
  | { readonly kind: "stalled"; readonly arrivalMs: MonotonicMs }
  /**
   * History is void, the next unit starts anew at `start`. Emitted at a stream's begin, and for gaps too long to
   * fill with silence (`reason: "gap"`): media time then jumps.
   */
  | {
      readonly kind: "reset";
      readonly reason: "start" | "ssrc" | "jump" | "gap";
      readonly start: SampleIndex;
      readonly arrivalMs: MonotonicMs;
    };

/**
 * Read access to a participant's latest feature frames. Frame f covers samples
 * [origin + f·hop, origin + f·hop + frameLength). Holds at least one window's frames; older ones are gone.
 */
export interface FrameStore {
  /** C: features a frame. */
  readonly channels: number;
  /** Frames it holds at most. */
  readonly capacity: number;
  /**
   * Copies `count` frames from `first` as raw (not normalised) features, channel-major:
   * out[c · stride + t], t in [0, count).
   * @throws TonetapError invalid-argument when a frame is not held (any more).
   */
  copy(first: number, count: number, out: Float32Array, stride: number): void;
  /** Whether frame f is speech. */
  isSpeech(frame: number): boolean;
  /** Whether frame f rests mostly on concealed or lost audio. */
  isLost(frame: number): boolean;
}

/** What featureFrames() gives on: news of complete frames, or a break. */
export type FrameUnit =
  | {
      readonly kind: "frames";
      readonly store: FrameStore;
      /** Frames [first, first + count) are new. Frame numbers restart at 0 after a reset. */
      readonly first: number;
      readonly count: number;
      /** Sample index at which frame 0 begins. */
      readonly origin: SampleIndex;
      /** Arrival of the packet that completed them. */
      readonly arrivalMs: MonotonicMs;
    }
  | { readonly kind: "stalled"; readonly arrivalMs: MonotonicMs }
  | {
      readonly kind: "reset";
      readonly reason: "start" | "ssrc" | "jump" | "gap";
      readonly start: SampleIndex;
      readonly arrivalMs: MonotonicMs;
    };
