/** The way of one participant's audio: every stage from packets to smoothed emotion, in order. When it runs is participant.ts. */
import type { OperatorFunction } from "rxjs";
import type { Config } from "./config.ts";
import type { AudioSource } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import type { MediaClock } from "./core/media-clock.ts";
import type { ModelManifest } from "./core/model.ts";
import type { RtpPacket } from "./core/rtp.ts";
import type { SampleIndex } from "./core/units.ts";
import type { EmotionUnit, WindowBatcher, WindowOwner, WindowScales } from "./core/window.ts";
import { inferEmotion, smoothEmotion } from "./inference/index.ts";
import {
  type DecodeStats,
  decodeAudio,
  featureFrames,
  type OpusDecoder,
  slidingWindows,
} from "./stream/index.ts";
import { type JitterStats, jitterBuffer } from "./transport/index.ts";

/** What a chain needs from the engine. */
export interface ChainParts {
  readonly clock: Clock;
  readonly config: Config;
  readonly manifest: ModelManifest;
  readonly batcher: WindowBatcher;
  /** For fairness and priority in the batcher. */
  readonly owner?: WindowOwner;
  /** Whose scale its windows are on, where models change while people talk; default: the manifest's. */
  readonly scales?: () => WindowScales;
  /** Of a model that an estimate names; default: the manifest. */
  readonly modelOf?: (id: string) => ModelManifest | undefined;
}

/** What one run of a chain has for itself. */
export interface ChainRun {
  /** Names the participant to the batcher. */
  readonly key: string;
  readonly opus: OpusDecoder;
  readonly mediaClock: MediaClock;
  readonly jitterStats: JitterStats;
  readonly decodeStats: DecodeStats;
  /** Where media time and window numbers go on, after a pause. */
  readonly startSample: SampleIndex;
  readonly firstIndex: number;
}

/** The way of one participant's audio, from packets to smoothed emotion. */
export function emotionChain(
  source: Pick<AudioSource, "codecs" | "requestRetransmission">,
  { clock, config, manifest, batcher, owner, scales, modelOf }: ChainParts,
  run: ChainRun,
): OperatorFunction<RtpPacket, EmotionUnit> {
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
        mediaClock: run.mediaClock,
        firstIndex: run.firstIndex,
        hopMs: config.window.hopMs,
        minWindowMs: config.window.minWindowMs,
        minSpeechShare: config.window.minSpeechShare,
        maxLossShare: config.window.maxLossShare,
      }),
      inferEmotion(batcher, { key: run.key, ...(owner === undefined ? {} : { owner }) }),
      smoothEmotion({
        ...manifest,
        ...config.smoothing,
        ...(modelOf === undefined ? {} : { modelOf }),
      }),
    );
}
