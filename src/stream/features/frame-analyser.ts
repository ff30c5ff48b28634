/** One frame's features, without derivatives, as the textbook has them. Rings and derivatives are frame-extractor.ts. */
import type { FeatureSpec } from "../../core/feature-spec.ts";
import { chromaFilterBank, normaliseChroma } from "./chroma.ts";
import { dctMatrix } from "./dct.ts";
import { decibels } from "./decibels.ts";
import { firstAboveHum, melFilterBank } from "./mel.ts";
import { PowerSpectrum } from "./spectrum.ts";
import { speechBand } from "./speech-band.ts";

/** What a frame says by itself. Its arrays are overwritten by the next frame. */
export interface FrameFeatures {
  /** `spec.mfcc` values. */
  readonly mfcc: Float64Array;
  /** `spec.melBands` values, dB. */
  readonly logMel: Float64Array;
  /** `spec.chroma` values, 0–1. */
  readonly chroma: Float64Array;
  /** 10·log10 of the mean square between 200 and 4,000 Hz, floor −100. */
  readonly speechDb: number;
}

/** Computes a frame's features from `spec.frameLength` samples in [−1, 1]. */
export interface FrameAnalyser {
  analyse(frame: Float64Array): FrameFeatures;
}

/** 10·log10 of the mean square, floor −100. */
export function frameEnergyDb(frame: Float64Array): number {
  return decibels(frame.reduce((sum, x) => sum + x * x, 0) / frame.length);
}

/** The reference: float64, no shortcut that would have to be explained. */
export function textbookAnalyser(spec: FeatureSpec): FrameAnalyser {
  const spectrum = new PowerSpectrum(spec.frameLength, spec.fftSize);
  const melBank = melFilterBank(spec);
  const chromaBank = chromaFilterBank(spec);
  const speech = speechBand(spec);
  const dct = dctMatrix(spec.mfcc, spec.melBands);
  const power = new Float64Array(spec.fftSize / 2 + 1);
  const logMel = new Float64Array(spec.melBands);
  const topDb = spec.mfccTopDb ?? Number.POSITIVE_INFINITY;
  const aboveHum = firstAboveHum(spec);
  const mfcc = new Float64Array(spec.mfcc);
  const chroma = new Float64Array(spec.chroma);
  return {
    analyse(frame) {
      spectrum.of(frame, power);
      multiply(melBank, power, logMel);
      logMel.forEach((x, band) => {
        logMel[band] = decibels(x);
      });
      const least = Math.max(...logMel.subarray(aboveHum)) - topDb;
      multiply(
        dct,
        logMel.map((x) => Math.max(x, least)),
        mfcc,
      );
      multiply(chromaBank, power, chroma);
      normaliseChroma(chroma);
      return { mfcc, logMel, chroma, speechDb: decibels(dot(speech, power)) };
    },
  };
}

/** out = matrix · x. */
function multiply(matrix: readonly Float64Array[], x: Float64Array, out: Float64Array): void {
  matrix.forEach((row, i) => {
    out[i] = dot(row, x);
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += (a[k] ?? 0) * (b[k] ?? 0);
  return sum;
}
