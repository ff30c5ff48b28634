/** The way of one participant's audio, from packets to smoothed emotion, in two parts: windows (window-chain.ts), and what the model says of them. When it runs is participant.ts. */
import type { OperatorFunction } from "rxjs";
import type { Config } from "./config.ts";
import type { AudioSource } from "./core/audio-source.ts";
import type { ModelManifest } from "./core/model.ts";
import type { RtpPacket } from "./core/rtp.ts";
import type { EmotionUnit, HeardUnit, WindowBatcher, WindowOwner } from "./core/window.ts";
import { inferEmotion, smoothEmotion } from "./inference/index.ts";
import { type WindowParts, type WindowRun, windowChain } from "./window-chain.ts";

/** What judging windows needs from the engine. */
export interface JudgementParts {
  readonly config: Pick<Config, "smoothing">;
  readonly manifest: ModelManifest;
  readonly batcher: WindowBatcher;
  /** For fairness and priority in the batcher. */
  readonly owner?: WindowOwner;
  /** Of a model that an estimate names; default: the manifest. */
  readonly modelOf?: (id: string) => ModelManifest | undefined;
}

/** What a chain needs from the engine. */
export interface ChainParts extends WindowParts, JudgementParts {
  readonly config: Config;
  readonly manifest: ModelManifest;
}

/** What one run of a chain has for itself. */
export interface ChainRun extends WindowRun {
  /** Names the participant to the batcher. */
  readonly key: string;
}

/** The way of one participant's audio, from packets to smoothed emotion. */
export function emotionChain(
  source: Pick<AudioSource, "codecs" | "requestRetransmission">,
  parts: ChainParts,
  run: ChainRun,
): OperatorFunction<RtpPacket, EmotionUnit> {
  return (packets) => packets.pipe(windowChain(source, parts, run), judgement(parts, run.key));
}

/** @param key names the participant to the batcher */
export function judgement(
  { config, manifest, batcher, owner, modelOf }: JudgementParts,
  key: string,
): OperatorFunction<HeardUnit, EmotionUnit> {
  return (windows) =>
    windows.pipe(
      inferEmotion(batcher, { key, ...(owner === undefined ? {} : { owner }) }),
      smoothEmotion({
        ...manifest,
        ...config.smoothing,
        ...(modelOf === undefined ? {} : { modelOf }),
      }),
    );
}
