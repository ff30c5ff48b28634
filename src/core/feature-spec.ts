/** Which features a model wants. Computing them is stream/features; this is the contract that training and serving share. */
import { TonetapError } from "./errors.ts";

/** Read from a model package's `model.json`; training writes the same object into it. */
export interface FeatureSpec {
  /** `tonetap`: our kernels. `meyda`: the meyda package; never mix one's features with the other's model. */
  readonly extractor: "tonetap" | "meyda";
  /** Hz. 16,000 is the only rate served. */
  readonly sampleRateHz: number;
  /** Samples a frame is computed from. 64–fftSize. */
  readonly frameLength: number;
  /** Samples between frames. 16–frameLength. */
  readonly hopLength: number;
  /** A power of two, 128–2048. */
  readonly fftSize: number;
  /** Mel bands (Slaney scale and area norm, as librosa's default). 8–128. */
  readonly melBands: number;
  /** Hz. */
  readonly melLowHz: number;
  /** Hz. At most half the sample rate. */
  readonly melHighHz: number;
  /** Cepstral coefficients kept, c0 first. 0–melBands. Orthonormal DCT-II of 10·log10(power mel), floor 1e-10, no top_db. */
  readonly mfcc: number;
  /**
   * dB, 1–200. In the MFCC a band counts as at least this much below the loudest of its frame (librosa's top_db, frame by
   * frame; without a limit if absent): each coefficient is a sum over all bands, so that else the noise of a codec between the
   * harmonics, which nobody hears, moves all of them. Log-mel keeps the bands as they are.
   */
  readonly mfccTopDb?: number | undefined;
  /** First time derivative of the MFCC (librosa.feature.delta, width `deltaWidth`). */
  readonly delta: boolean;
  /** Second time derivative (librosa.feature.delta order 2). */
  readonly delta2: boolean;
  /** Odd, 3–15. Frames that the derivative looks at. */
  readonly deltaWidth: number;
  /** Also give the log-mel bands themselves, in dB. */
  readonly logMel: boolean;
  /** Pitch classes: 0 or 12. Chroma of the power spectrum, tuning 0, each frame divided by its maximum, as librosa. */
  readonly chroma: 0 | 12;
  /**
   * Hz, 0–1,000. Below lies mains hum, which voice codecs take out: it does not count in chroma, where it were a pitch like any
   * other, and a mel band that begins there does not count as a frame's loudest (`mfccTopDb`). Default: 0.
   */
  readonly humHz?: number | undefined;
  /** Also give 10·log10 of the frame's mean square (floor 1e-10). */
  readonly logEnergy: boolean;
}

export const DEFAULT_FEATURE_SPEC: FeatureSpec = {
  extractor: "tonetap",
  sampleRateHz: 16_000,
  frameLength: 400,
  hopLength: 160,
  fftSize: 512,
  melBands: 40,
  melLowHz: 40,
  melHighHz: 7_600,
  mfcc: 24,
  delta: true,
  delta2: true,
  deltaWidth: 9,
  logMel: false,
  chroma: 12,
  logEnergy: true,
};

/** Features a frame, C. Their order: MFCC, Δ, ΔΔ, log-mel, chroma, energy. */
export function featureChannels(spec: FeatureSpec): number {
  return (
    spec.mfcc * (1 + Number(spec.delta) + Number(spec.delta2)) +
    (spec.logMel ? spec.melBands : 0) +
    spec.chroma +
    Number(spec.logEnergy)
  );
}

/** One name a channel, in order: `mfcc0` … `delta0` … `delta2_0` … `mel0` … `chroma0` … `energy`. */
export function featureNames(spec: FeatureSpec): string[] {
  const run = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  return [
    ...run("mfcc", spec.mfcc),
    ...run("delta", spec.delta ? spec.mfcc : 0),
    ...run("delta2_", spec.delta2 ? spec.mfcc : 0),
    ...run("mel", spec.logMel ? spec.melBands : 0),
    ...run("chroma", spec.chroma),
    ...(spec.logEnergy ? ["energy"] : []),
  ];
}

/** Frames that must follow a frame before its derivatives are known. */
export function deltaLookahead(spec: FeatureSpec): number {
  return spec.delta || spec.delta2 ? (spec.deltaWidth - 1) / 2 : 0;
}

/** @throws TonetapError invalid-argument naming the field, its range and what came. */
export function assertFeatureSpec(spec: FeatureSpec): void {
  const fail = (field: string, want: string, got: unknown): never => {
    throw new TonetapError(
      "invalid-argument",
      `features.${field} must be ${want}, got ${JSON.stringify(got)}`,
    );
  };
  const whole = (field: keyof FeatureSpec, min: number, max: number): void => {
    const value = spec[field];
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      fail(field, `a whole number ${min}–${max}`, value);
    }
  };
  if (spec.extractor !== "tonetap" && spec.extractor !== "meyda")
    fail("extractor", "tonetap or meyda", spec.extractor);
  if (spec.sampleRateHz !== 16_000) fail("sampleRateHz", "16000", spec.sampleRateHz);
  whole("fftSize", 128, 2048);
  if ((spec.fftSize & (spec.fftSize - 1)) !== 0) fail("fftSize", "a power of two", spec.fftSize);
  whole("frameLength", 64, spec.fftSize);
  whole("hopLength", 16, spec.frameLength);
  whole("melBands", 8, 128);
  whole("mfcc", 0, spec.melBands);
  if (spec.mfccTopDb !== undefined && !(spec.mfccTopDb >= 1 && spec.mfccTopDb <= 200))
    fail("mfccTopDb", "1–200 dB", spec.mfccTopDb);
  whole("deltaWidth", 3, 15);
  if (spec.deltaWidth % 2 === 0) fail("deltaWidth", "odd", spec.deltaWidth);
  if (!(spec.melLowHz >= 0 && spec.melLowHz < spec.melHighHz))
    fail("melLowHz", "0 to below melHighHz", spec.melLowHz);
  if (!(spec.melHighHz <= spec.sampleRateHz / 2))
    fail("melHighHz", `at most ${spec.sampleRateHz / 2}`, spec.melHighHz);
  if (spec.chroma !== 0 && spec.chroma !== 12) fail("chroma", "0 or 12", spec.chroma);
  if (spec.humHz !== undefined && !(spec.humHz >= 0 && spec.humHz <= 1_000))
    fail("humHz", "0–1000 Hz", spec.humHz);
  if (featureChannels(spec) === 0) fail("mfcc", "above 0 when nothing else is asked for", spec.mfcc);
}
