/**
 * One recording's way through the chain of a live participant, on media time. Many files at once, and what a caller
 * gets of them, is analyze.ts.
 */
import { lastValueFrom, type Observable, type OperatorFunction, tap } from "rxjs";
import type { Config } from "./config.ts";
import { systemClock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { PcmUnit } from "./core/media.ts";
import { MediaClock } from "./core/media-clock.ts";
import type { ModelManifest } from "./core/model.ts";
import { type MonotonicMs, sampleIndex } from "./core/units.ts";
import { VirtualClock } from "./core/virtual-clock.ts";
import type {
  DroppedWindow,
  EmotionEstimate,
  EmotionUnit,
  FeatureWindow,
  WindowBatcher,
} from "./core/window.ts";
import { type ChainParts, emotionChain } from "./emotion-chain.ts";
import { inferEmotion, smoothEmotion } from "./inference/index.ts";
import type { WindowCounts } from "./participant-contract.ts";
import { createDecodeStats, createOpusDecoder, featureFrames, slidingWindows } from "./stream/index.ts";
import type { AudioFileOptions } from "./transport/file/audio-file.ts";
import { FilePcm, FileSource } from "./transport/file/file-source.ts";
import { createJitterStats } from "./transport/index.ts";

/** What all files share. */
export interface AnalysisParts {
  readonly config: Config;
  readonly manifest: ModelManifest;
  readonly batcher: WindowBatcher;
}

export interface FileAnalysisOptions extends AudioFileOptions {
  /** PCM goes straight to the features, past Opus, RTP and the jitter buffer. */
  readonly direct: boolean;
  readonly signal: AbortSignal;
  readonly onUnit: (unit: EmotionUnit) => void;
  /** A promise while the caller cannot take more units. */
  readonly ready: () => Promise<void> | undefined;
}

/** What one file said as a whole. */
export interface FileFindings {
  /** Media that was heard, s. */
  readonly durationS: number;
  /** s it took. Files in flight share the machine. */
  readonly elapsedS: number;
  readonly windows: WindowCounts;
  /** Mean of the model's probabilities for each window, weighted by its frames; undefined if none was judged. */
  readonly probabilities: readonly number[] | undefined;
  /** Why it could not be heard to its end. */
  readonly error: TonetapError | undefined;
}

/** Media that may be ahead of the oldest unanswered window: 24 ticks, and no more than 5 s. */
const AHEAD_TICKS = 24;
const AHEAD_MS = 5_000;

/** As a phone sends: half the work of a desktop's encoder. Nothing gets lost here, so FEC has no loss to weigh. */
const ENCODER = { complexity: 5, expectedLossPercent: 0 };

/** Never rejects: a file that cannot be read has an `error`. */
export async function analyzeFile(
  path: string,
  { config, manifest, batcher }: AnalysisParts,
  options: FileAnalysisOptions,
): Promise<FileFindings> {
  const startedMs = systemClock.now();
  // A recording does not say when it was made: its wall time begins now.
  const clock = new VirtualClock(systemClock.wall());
  const aheadMs = Math.min(AHEAD_MS, AHEAD_TICKS * config.window.hopMs);
  const tally = new WindowTally(batcher, manifest.labels.length, clock, aheadMs);
  const windows: WindowCounts = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
  const play = { ...options, clock, ready: () => options.ready() ?? tally.ready() };
  const parts = { clock, config, manifest, batcher: tally };
  let error: TonetapError | undefined;
  const failed = (reason: unknown): void => {
    error ??= TonetapError.from(reason);
  };
  try {
    const source = options.direct ? new FilePcm(path, play) : new FileSource(path, { ...play, ...ENCODER });
    const units = await chainOf(source, path, parts);
    const stop = (): void => void source.close();
    const heard = lastValueFrom(
      units.pipe(
        tap((unit) => {
          count(windows, unit);
          options.onUnit(unit);
        }),
      ),
      { defaultValue: undefined },
    ).catch((reason: unknown) => {
      failed(reason);
      stop();
    });
    options.signal.addEventListener("abort", stop, { once: true });
    if (options.signal.aborted) stop();
    await source.play().catch(failed);
    await heard;
    options.signal.removeEventListener("abort", stop);
    if (options.signal.aborted) throw new TonetapError("closed", `${path}: its analysis was stopped`);
  } catch (reason) {
    failed(reason);
  }
  return {
    durationS: clock.now() / 1000,
    elapsedS: (systemClock.now() - startedMs) / 1000,
    windows,
    probabilities: tally.mean(),
    error,
  };
}

async function chainOf(
  source: FileSource | FilePcm,
  key: string,
  parts: ChainParts,
): Promise<Observable<EmotionUnit>> {
  const mediaClock = new MediaClock(parts.clock);
  if (source instanceof FilePcm) return source.pcm.pipe(directChain(key, parts, mediaClock));
  return source.packets.pipe(
    emotionChain(source, parts, {
      key,
      opus: await createOpusDecoder(),
      mediaClock,
      jitterStats: createJitterStats(),
      decodeStats: createDecodeStats(),
      startSample: sampleIndex(0),
      firstIndex: 0,
    }),
  );
}

/** emotionChain() from decoded audio on. */
function directChain(
  key: string,
  { config, manifest, batcher }: ChainParts,
  mediaClock: MediaClock,
): OperatorFunction<PcmUnit, EmotionUnit> {
  const { features, hopMs, minWindowMs, minSpeechShare, maxLossShare } = config.window;
  return (pcm) =>
    pcm.pipe(
      tap((unit) => {
        if (unit.kind !== "pcm") return;
        mediaClock.arrived(sampleIndex(unit.start + unit.samples.length), unit.arrivalMs);
      }),
      featureFrames({
        features: manifest.features,
        windowFrames: manifest.window.frames,
        implementation: features,
      }),
      slidingWindows({ model: manifest, mediaClock, hopMs, minWindowMs, minSpeechShare, maxLossShare }),
      inferEmotion(batcher, { key }),
      smoothEmotion({ ...manifest, ...config.smoothing }),
    );
}

function count(windows: WindowCounts, unit: EmotionUnit): void {
  switch (unit.kind) {
    case "emotion":
      if (unit.abstained) windows.abstained++;
      else windows.emitted++;
      break;
    case "gated":
      windows.gated++;
      break;
    case "dropped":
      windows.dropped++;
      break;
    case "speech":
      break;
    default:
      unit satisfies never;
  }
}

/** The batcher as one file sees it: adds up the answers, and says when the file is too far ahead of them. */
class WindowTally implements WindowBatcher {
  readonly #batcher: WindowBatcher;
  readonly #clock: VirtualClock;
  readonly #aheadMs: number;
  readonly #sums: Float64Array;
  #weight = 0;
  /** Arrival of each unanswered window; answers come in this order. */
  readonly #pending: MonotonicMs[] = [];
  #answered = Promise.withResolvers<void>();

  constructor(batcher: WindowBatcher, labels: number, clock: VirtualClock, aheadMs: number) {
    this.#batcher = batcher;
    this.#sums = new Float64Array(labels);
    this.#clock = clock;
    this.#aheadMs = aheadMs;
  }

  async submit(key: string, window: FeatureWindow): Promise<EmotionEstimate | DroppedWindow> {
    this.#pending.push(window.arrivalMs);
    const answer = await this.#batcher.submit(key, window);
    this.#pending.shift();
    if (answer.kind === "estimate") {
      for (const [i, probability] of answer.probabilities.entries()) {
        this.#sums[i] = (this.#sums[i] ?? 0) + answer.frames * probability;
      }
      this.#weight += answer.frames;
    }
    this.#answered.resolve();
    this.#answered = Promise.withResolvers<void>();
    return answer;
  }

  ready(): Promise<void> | undefined {
    const [oldest] = this.#pending;
    return oldest !== undefined && this.#clock.now() - oldest > this.#aheadMs
      ? this.#answered.promise
      : undefined;
  }

  mean(): readonly number[] | undefined {
    return this.#weight === 0 ? undefined : Array.from(this.#sums, (sum) => sum / this.#weight);
  }
}
