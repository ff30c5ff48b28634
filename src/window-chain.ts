/** The way of one participant's audio up to its windows: what a shard runs. Judging them is emotion-chain.ts. */
import type { OperatorFunction } from "rxjs";
import type { Config } from "./config.ts";
import type { AudioSource } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import type { MediaClock } from "./core/media-clock.ts";
import type { ModelManifest } from "./core/model.ts";
import type { RtpPacket } from "./core/rtp.ts";
import type { SampleIndex } from "./core/units.ts";
import type { WindowScales, WindowUnit } from "./core/window.ts";
import {
  type DecodeStats,
  decodeAudio,
  featureFrames,
  type OpusDecoder,
  slidingWindows,
  type WindowLender,
} from "./stream/index.ts";
import { type JitterStats, jitterBuffer } from "./transport/index.ts";

/** What making windows needs from the engine. */
export interface WindowParts {
  readonly clock: Clock;
  readonly config: Pick<Config, "jitter" | "window">;
  readonly manifest: Pick<ModelManifest, "features" | "window" | "normalisation">;
  /** Whose scale its windows are on, where models change while people talk; default: the manifest's. */
  readonly scales?: () => WindowScales;
  /** Of its windows one in so many is judged, where the machine has too much to do; default: all. */
  readonly pace?: () => number;
  /** Memory that windows are made in; default: the thread's own. */
  readonly lender?: WindowLender;
}

/** What one run of a chain has for itself. */
export interface WindowRun {
  readonly opus: OpusDecoder;
  readonly mediaClock: MediaClock;
  readonly jitterStats: JitterStats;
  readonly decodeStats: DecodeStats;
  /** Where media time and window numbers go on, after a pause. */
  readonly startSample: SampleIndex;
  readonly firstIndex: number;
}

export function windowChain(
  source: Pick<AudioSource, "codecs" | "requestRetransmission">,
  { clock, config, manifest, scales, pace, lender }: WindowParts,
  run: WindowRun,
): OperatorFunction<RtpPacket, WindowUnit> {
  const { features, window } = manifest;
  return (packets) =>
    packets.pipe(
      jitterBuffer({
        clock,
        codecs: source.codecs,
        ...config.jitter,
        requestRetransmission: source.requestRetransmission,
        stats: run.jitterStats,
      }),
      decodeAudio({
        opus: run.opus,
        codecs: source.codecs,
        mediaClock: run.mediaClock,
        startSample: run.startSample,
        stats: run.decodeStats,
      }),
      featureFrames({ features, windowFrames: window.frames, implementation: config.window.features }),
      slidingWindows({
        model: manifest,
        ...(scales === undefined ? {} : { scales }),
        ...(pace === undefined ? {} : { pace }),
        ...(lender === undefined ? {} : { lender }),
        mediaClock: run.mediaClock,
        firstIndex: run.firstIndex,
        hopMs: config.window.hopMs,
        minWindowMs: config.window.minWindowMs,
        minSpeechShare: config.window.minSpeechShare,
        maxLossShare: config.window.maxLossShare,
      }),
    );
}
