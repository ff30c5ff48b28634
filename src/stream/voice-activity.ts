/** Says which feature frames are speech, by what the sender tells and by level. Talk-spurts are sliding-windows.ts. */
import { assertRange } from "../core/errors.ts";

/** A pause up to this long is part of a talk-spurt, ms. */
export const DEFAULT_HANGOVER_MS = 300;

export interface VoiceActivityOptions {
  /** dB above the noise floor at which a frame is speech. 3–30, default 9. */
  readonly snrDb?: number;
  /** dB re full scale (mean square, 200–4,000 Hz) below which no frame is speech. −90 to −20, default −60. */
  readonly floorDb?: number;
  /** ms after speech in which single frames count; later, only a run of `minSpeechMs` does. 0–2,000, default 300. */
  readonly hangoverMs?: number;
  /** ms of unbroken activity that begin a talk-spurt: a click is shorter. 0–500, default 50. */
  readonly minSpeechMs?: number;
  /** ms over which the noise floor is the minimum. 500–10,000, default 2,400: longer than speech goes without a dip. */
  readonly noiseWindowMs?: number;
}

/** What is known of one frame. */
export interface FrameEvidence {
  /** 10·log10 of the mean square between 200 and 4,000 Hz, dB re full scale: hum and rumble are no voice. */
  readonly levelDb: number;
  /** The sender says that this is no speech: DTX, or RFC 6464 without its V bit. */
  readonly quiet: boolean;
  /** The frame rests on real audio; concealed and lost audio says nothing of the noise. */
  readonly heard: boolean;
}

/** Once a talk-spurt has begun it goes on this far below `snrDb`, so that its soft parts belong to it. */
const HYSTERESIS_DB = 3;
/** Digital silence and noise gates would make anything above them speech: the floor is never taken to be lower. */
const LOWEST_NOISE_DB = -72;
/** The floor is the least of levels smoothed over about 50 ms. */
const SMOOTHING = 0.3;
const NOISE_PARTS = 8;

/**
 * Level against an adaptive noise floor: minimum statistics (Martin 2001) over `noiseWindowMs`, in eight parts.
 * A stream may begin in the middle of a word: until the first noise window has passed, the floor that speech's own
 * dips reveal is applied to the past as well.
 */
export class VoiceActivityDetector {
  readonly #snrDb: number;
  readonly #floorDb: number;
  readonly #hangover: number;
  readonly #minRun: number;
  readonly #partLength: number;
  /** Minimum of each part of the noise window; the newest is being filled. */
  readonly #minima = new Float64Array(NOISE_PARTS).fill(Number.POSITIVE_INFINITY);
  #part = 0;
  #partFilled = 0;
  #parts = 0;
  #smoothed: number | undefined;
  #noiseDb = Number.POSITIVE_INFINITY;
  /** Levels of the frames before, −∞ where the sender said quiet: to look back in, and gone once the floor has settled. */
  #past: Float32Array | undefined;
  /** Frames seen since the last reset. */
  #frames = 0;
  /** Unbroken active frames, this one included. */
  #run = 0;
  /** Frames between the last speech frame and the next one. */
  #sinceSpeech = Number.POSITIVE_INFINITY;

  /** @param frameMs ms between frames. @throws TonetapError invalid-argument when an option is out of range. */
  constructor(frameMs: number, options: VoiceActivityOptions = {}) {
    const { snrDb = 9, floorDb = -60, minSpeechMs = 50, noiseWindowMs = 2_400 } = options;
    const { hangoverMs = DEFAULT_HANGOVER_MS } = options;
    assertRange("snrDb", snrDb, 3, 30, "dB");
    assertRange("floorDb", floorDb, -90, -20, "dB");
    assertRange("hangoverMs", hangoverMs, 0, 2_000, "ms");
    assertRange("minSpeechMs", minSpeechMs, 0, 500, "ms");
    assertRange("noiseWindowMs", noiseWindowMs, 500, 10_000, "ms");
    this.#snrDb = snrDb;
    this.#floorDb = floorDb;
    this.#hangover = Math.round(hangoverMs / frameMs);
    this.#minRun = Math.max(1, Math.round(minSpeechMs / frameMs));
    this.#partLength = Math.max(1, Math.round(noiseWindowMs / NOISE_PARTS / frameMs));
  }

  /** The noise floor, dB; +∞ while nothing is known of it. */
  get noiseDb(): number {
    return this.#noiseDb;
  }

  /**
   * Judges the next frame.
   * @returns how many of the newest frames, this one included, are speech: 0 when it is not; more than 1 when it
   * shows that those before it were speech too.
   */
  push({ levelDb, quiet, heard }: FrameEvidence): number {
    if (heard && !quiet) this.#learnNoise(levelDb);
    this.#remember(quiet ? Number.NEGATIVE_INFINITY : levelDb);
    const inSpurt = this.#sinceSpeech <= this.#hangover;
    if (quiet || levelDb < this.#threshold(inSpurt)) {
      this.#run = 0;
      this.#sinceSpeech++;
      return 0;
    }
    this.#run++;
    if (!inSpurt && this.#run < this.#minRun) {
      this.#sinceSpeech++;
      return 0;
    }
    const speech = inSpurt ? 1 : Math.max(this.#run, this.#lookBack());
    this.#sinceSpeech = 0;
    return speech;
  }

  /**
   * The frames to come do not follow on those before.
   * @param keepNoise the microphone is the same: its noise floor stays.
   */
  reset(keepNoise: boolean): void {
    this.#past?.fill(0);
    this.#run = 0;
    this.#sinceSpeech = Number.POSITIVE_INFINITY;
    this.#frames = 0;
    this.#smoothed = undefined;
    if (keepNoise) return;
    this.#minima.fill(Number.POSITIVE_INFINITY);
    this.#noiseDb = Number.POSITIVE_INFINITY;
    this.#part = 0;
    this.#partFilled = 0;
    this.#parts = 0;
  }

  #threshold(inSpurt: boolean): number {
    return Math.max(this.#floorDb, this.#noiseDb + this.#snrDb - (inSpurt ? HYSTERESIS_DB : 0));
  }

  #remember(levelDb: number): void {
    if (this.#parts >= NOISE_PARTS) {
      this.#past?.fill(0);
      this.#past = undefined;
      return;
    }
    this.#past ??= new Float32Array(this.#partLength * NOISE_PARTS);
    this.#past[this.#frames++ % this.#past.length] = levelDb;
  }

  #learnNoise(levelDb: number): void {
    const level = Math.max(levelDb, LOWEST_NOISE_DB);
    const before = this.#smoothed ?? level;
    this.#smoothed = before + SMOOTHING * (level - before);
    if (this.#partFilled === this.#partLength) {
      this.#part = (this.#part + 1) % NOISE_PARTS;
      this.#minima[this.#part] = Number.POSITIVE_INFINITY;
      this.#partFilled = 0;
      this.#parts++;
    }
    this.#partFilled++;
    this.#minima[this.#part] = Math.min(this.#minima[this.#part] ?? 0, this.#smoothed);
    let least = Number.POSITIVE_INFINITY;
    for (const minimum of this.#minima) if (minimum < least) least = minimum;
    this.#noiseDb = least;
  }

  /**
   * While the floor is still being found, speech may lie behind that did not stand out then: counts the frames back
   * to its first, over pauses within the hangover.
   */
  #lookBack(): number {
    const past = this.#past;
    if (past === undefined) return 0;
    const threshold = this.#threshold(true);
    const reach = Math.min(this.#frames, past.length, this.#sinceSpeech + 1);
    let speech = 0;
    for (let back = 0; back < reach && back - speech <= this.#hangover; back++) {
      const level = past[(this.#frames - 1 - back) % past.length] ?? Number.NEGATIVE_INFINITY;
      if (level >= threshold) speech = back + 1;
    }
    return speech;
  }
}
