/** Adapts the meyda package: its MFCC, log-mel bands and chroma of one frame. The only file that knows meyda. */
import meydaPackage from "meyda";
import { TonetapError } from "../../core/errors.ts";
import type { FeatureSpec } from "../../core/feature-spec.ts";
import { decibels } from "./decibels.ts";
import type { FrameAnalyser } from "./frame-analyser.ts";
import { PowerSpectrum } from "./spectrum.ts";
import { speechBand } from "./speech-band.ts";

/** Full scale of meyda's input: its log(1 + power) loses everything below 1, so it needs int16 values. */
const FULL_SCALE = 32_768;
/** meyda gives at most this many coefficients, whatever it is asked for. */
const MAX_MFCC = 40;

type MeydaFeature = "mfcc" | "melBands" | "chroma";

/** What is used of meyda's object. Its typings describe an ES module, what Node loads is CommonJS. */
interface Meyda {
  bufferSize: number;
  sampleRate: number;
  melBands: number;
  chromaBands: number;
  numberOfMFCCCoefficients: number;
  windowingFunction: string;
  melFilterBank: unknown;
  chromaFilterBank: unknown;
  extract(features: MeydaFeature[], signal: Float32Array): Partial<Record<MeydaFeature, number[]>> | null;
}

const copies = new Map<string, Meyda>();
/** More specs than this in one process are a mistake or a test; the oldest is built again when it comes back. */
const MAX_COPIES = 8;

/**
 * A copy of meyda's object for these settings. meyda keeps its filter banks in the object and does not rebuild them
 * when `sampleRate` or `bufferSize` change, so the shared object, which anyone in the process may set, is not used.
 */
function meydaFor(spec: FeatureSpec): Meyda {
  const key = `${spec.sampleRateHz}/${spec.fftSize}/${spec.melBands}/${spec.mfcc}`;
  const known = copies.get(key);
  if (known !== undefined) return known;
  const copy: Meyda = {
    ...(meydaPackage as unknown as Meyda),
    bufferSize: spec.fftSize,
    sampleRate: spec.sampleRateHz,
    melBands: spec.melBands,
    chromaBands: 12,
    numberOfMFCCCoefficients: spec.mfcc,
    windowingFunction: "hanning",
    melFilterBank: undefined,
    chromaFilterBank: undefined,
  };
  for (const oldest of copies.keys()) {
    if (copies.size < MAX_COPIES) break;
    copies.delete(oldest);
  }
  copies.set(key, copy);
  return copy;
}

/**
 * meyda's features, in meyda's own units: MFCC = 2 × the plain DCT-II of ln(1 + power mel), triangles of height 1 on
 * the HTK mel scale; chroma from magnitudes, divided by its maximum.
 * @throws TonetapError invalid-argument when the spec asks for what meyda cannot do.
 */
export function meydaFrameAnalyser(spec: FeatureSpec): FrameAnalyser {
  assertMeydaCan(spec);
  const meyda = meydaFor(spec);
  const wanted: MeydaFeature[] = [];
  if (spec.mfcc > 0) wanted.push("mfcc");
  if (spec.logMel) wanted.push("melBands");
  if (spec.chroma > 0) wanted.push("chroma");
  const signal = new Float32Array(spec.fftSize);
  // Voice activity is judged alike whatever the extractor, so its level is not meyda's.
  const spectrum = new PowerSpectrum(spec.frameLength, spec.fftSize);
  const power = new Float64Array(spec.fftSize / 2 + 1);
  const speech = speechBand(spec);
  const mfcc = new Float64Array(spec.mfcc);
  const logMel = new Float64Array(spec.melBands);
  const chroma = new Float64Array(spec.chroma);
  return {
    analyse(frame) {
      frame.forEach((x, n) => {
        signal[n] = x * FULL_SCALE;
      });
      const found = meyda.extract(wanted, signal);
      mfcc.set(found?.mfcc ?? []);
      logMel.set(found?.melBands ?? []);
      chroma.set(found?.chroma ?? []);
      spectrum.of(frame, power);
      return {
        mfcc,
        logMel,
        chroma,
        speechDb: decibels(speech.reduce((sum, w, k) => sum + w * (power[k] ?? 0), 0)),
      };
    },
  };
}

function assertMeydaCan(spec: FeatureSpec): void {
  const need = (field: keyof FeatureSpec, want: number | undefined): void => {
    if (spec[field] !== want) {
      throw new TonetapError(
        "invalid-argument",
        `features.${field} must be ${want ?? "left out"} for the meyda extractor, got ${spec[field]}`,
      );
    }
  };
  need("frameLength", spec.fftSize);
  need("melLowHz", 0);
  need("melHighHz", spec.sampleRateHz / 2);
  if (spec.mfcc > MAX_MFCC) need("mfcc", MAX_MFCC);
  need("mfccTopDb", undefined);
  need("humHz", undefined);
}
