/** featureFrames(): PCM → feature frames with speech and loss flags, each computed once. Features are features/. */
import type { OperatorFunction } from "rxjs";
import { assertRange } from "../core/errors.ts";
import { assertFeatureSpec, deltaLookahead, type FeatureSpec } from "../core/feature-spec.ts";
import type { FrameUnit, PcmUnit } from "../core/media.ts";
import type { AudioLevel } from "../core/rtp.ts";
import { SAMPLES_PER_MS, type SampleIndex, sampleIndex } from "../core/units.ts";
import {
  createFeatureExtractor,
  type FeatureExtractor,
  type FeatureExtractorOptions,
} from "./features/index.ts";
import { FrameRing } from "./frame-ring.ts";
import { type Stage, stageOperator } from "./stage.ts";
import { VoiceActivityDetector, type VoiceActivityOptions } from "./voice-activity.ts";

export interface FeatureFramesOptions {
  /** What the model wants. */
  readonly features: FeatureSpec;
  /** Frames of the longest window: so many stay readable, and 120 ms more. 1–3,000. */
  readonly windowFrames: number;
  readonly implementation?: FeatureExtractorOptions["implementation"];
  readonly voiceActivity?: VoiceActivityOptions;
}

/** 120 ms: no Opus packet is longer, and longer ones are taken in pieces, so no push completes more frames than the ring has to spare. */
const MAX_PUSH = 120 * SAMPLES_PER_MS;
/** RFC 6464 §3: −127 dBov is digital silence. */
const SILENT_LEVEL = 127;

/**
 * Computes features as audio comes and announces frames once they are complete; the store is the operator's, and may
 * be read until it emits something else. At a `reset` and at the source's end the old frames can still be read
 * during the emission. Unsubscribing overwrites audio and features with zeros.
 * @throws TonetapError invalid-argument when an option is out of range.
 */
export function featureFrames(options: FeatureFramesOptions): OperatorFunction<PcmUnit, FrameUnit> {
  assertFeatureSpec(options.features);
  assertRange("windowFrames", options.windowFrames, 1, 3_000);
  return stageOperator((emit) => new FrameMaking(options, emit));
}

type Pcm = Extract<PcmUnit, { kind: "pcm" }>;

class FrameMaking implements Stage<PcmUnit> {
  readonly #extractor: FeatureExtractor;
  readonly #ring: FrameRing;
  readonly #voice: VoiceActivityDetector;
  readonly #emit: (unit: FrameUnit) => void;
  readonly #frameLength: number;
  readonly #hop: number;
  /** Samples of each frame, complete or begun, that are concealed or lost, and that the sender says are no speech. */
  readonly #lostSamples: Int32Array;
  readonly #quietSamples: Int32Array;
  #origin: SampleIndex = sampleIndex(0);
  /** Samples taken in since the origin. */
  #taken = 0;
  /** Frames begun since the origin. */
  #begun = 0;
  #completed = 0;
  /** RFC 6464 §4: the V bit may be unused. It is believed once it has been seen set. */
  #voiceBitUsed = false;

  constructor(options: FeatureFramesOptions, emit: (unit: FrameUnit) => void) {
    const { features } = options;
    this.#emit = emit;
    this.#frameLength = features.frameLength;
    this.#hop = features.hopLength;
    const slack = Math.ceil(MAX_PUSH / this.#hop) + 1;
    this.#extractor = createFeatureExtractor(features, {
      capacityFrames: Math.max(16, options.windowFrames + slack),
      ...(options.implementation === undefined ? undefined : { implementation: options.implementation }),
    });
    this.#ring = new FrameRing(this.#extractor);
    this.#voice = new VoiceActivityDetector(this.#hop / SAMPLES_PER_MS, options.voiceActivity);
    // Frames between begun and complete: those that overlap, wait for derivatives, or are held for the kernel.
    const pending = Math.ceil((MAX_PUSH + this.#frameLength) / this.#hop) + deltaLookahead(features) + 4;
    this.#lostSamples = new Int32Array(pending);
    this.#quietSamples = new Int32Array(pending);
  }

  take(unit: PcmUnit): void {
    switch (unit.kind) {
      case "pcm":
        for (let at = 0; at < unit.samples.length; at += MAX_PUSH) this.#push(unit, at);
        break;
      case "stalled":
        this.#emit(unit);
        break;
      case "reset":
        this.#emit(unit);
        this.#origin = unit.start;
        this.#taken = 0;
        this.#begun = 0;
        this.#completed = 0;
        this.#extractor.reset();
        this.#voice.reset(unit.reason === "gap");
        if (unit.reason !== "gap") this.#voiceBitUsed = false;
        break;
      default:
        unit satisfies never;
    }
  }

  close(): void {
    this.#extractor.close();
    this.#ring.wipe();
    this.#voice.reset(false);
  }

  #push(unit: Pcm, at: number): void {
    const samples = unit.samples.length <= MAX_PUSH ? unit.samples : unit.samples.subarray(at, at + MAX_PUSH);
    this.#note(unit, samples.length);
    const first = this.#completed;
    this.#completed = this.#extractor.push(samples);
    const count = this.#completed - first;
    if (count === 0) return;
    for (let frame = first; frame < this.#completed; frame++) this.#judge(frame);
    const { arrivalMs } = unit;
    this.#emit({ kind: "frames", store: this.#ring, first, count, origin: this.#origin, arrivalMs });
  }

  /** Adds a stretch of audio to the accounts of the frames it is part of. */
  #note({ origin, audioLevel }: Pcm, count: number): void {
    const from = this.#taken;
    const to = from + count;
    this.#taken = to;
    for (; this.#begun * this.#hop < to; this.#begun++) {
      const slot = this.#begun % this.#lostSamples.length;
      this.#lostSamples[slot] = 0;
      this.#quietSamples[slot] = 0;
    }
    if (origin === "concealed" || origin === "lost") this.#account(this.#lostSamples, from, to);
    if (origin === "lost" || origin === "dtx" || this.#saysQuiet(audioLevel)) {
      this.#account(this.#quietSamples, from, to);
    }
  }

  #saysQuiet(level: AudioLevel | undefined): boolean {
    if (level === undefined) return false;
    if (level.voice) this.#voiceBitUsed = true;
    return level.level === SILENT_LEVEL || (this.#voiceBitUsed && !level.voice);
  }

  #account(accounts: Int32Array, from: number, to: number): void {
    const first = Math.max(0, Math.floor((from - this.#frameLength) / this.#hop) + 1);
    for (let frame = first; frame < this.#begun; frame++) {
      const begin = frame * this.#hop;
      const overlap = Math.min(to, begin + this.#frameLength) - Math.max(from, begin);
      const slot = frame % accounts.length;
      accounts[slot] = (accounts[slot] ?? 0) + overlap;
    }
  }

  #judge(frame: number): void {
    const half = this.#frameLength / 2;
    const slot = frame % this.#lostSamples.length;
    const lost = (this.#lostSamples[slot] ?? 0) > half;
    const quiet = (this.#quietSamples[slot] ?? 0) > half;
    this.#ring.add(frame, lost);
    const levelDb = this.#extractor.speechDb(frame);
    const speech = this.#voice.push({ levelDb, quiet, heard: !lost });
    const reach = Math.min(speech, this.#ring.capacity);
    for (let back = 0; back < reach; back++) this.#ring.markSpeech(frame - back);
  }
}
