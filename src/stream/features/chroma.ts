/** The chroma filter bank: librosa.filters.chroma with its defaults, and the scaling of a chroma frame. */
import type { FeatureSpec } from "../../core/feature-spec.ts";

const PITCH_CLASSES = 12;
/** Octave 0 begins at A0. */
const A0_HZ = 27.5;
/** Octaves above A0 that count most, and the deviation of that Gaussian. */
const CENTRE_OCTAVE = 5;
const OCTAVE_WIDTH = 2;
/** librosa counts pitch classes from A and rolls them so that C comes first. */
const A_TO_C = 3;

/** Below this all twelve are 0. librosa's own limit is the smallest float64; this one float32 can hold too. */
export const CHROMA_FLOOR = 1e-20;

const wrap = (x: number, period: number): number => x - period * Math.floor(x / period);

/**
 * Twelve rows, C first, each fftSize/2 + 1 weights on the power spectrum, 0 below `humHz`; empty when the spec wants no
 * chroma.
 */
export function chromaFilterBank(spec: FeatureSpec): Float64Array[] {
  const { fftSize, sampleRateHz } = spec;
  const bins = fftSize / 2 + 1;
  const rows = Array.from({ length: spec.chroma }, () => new Float64Array(bins));
  const pitchAbove0 = (k: number): number => PITCH_CLASSES * Math.log2((k * sampleRateHz) / fftSize / A0_HZ);
  // 0 Hz has no pitch: librosa puts it 1.5 octaves below bin 1.
  const pitch = (k: number): number => (k === 0 ? pitchAbove0(1) - 1.5 * PITCH_CLASSES : pitchAbove0(k));
  const first = Math.ceil(((spec.humHz ?? 0) * fftSize) / sampleRateHz);
  for (let k = first; k < bins; k++) {
    const width = Math.max(pitch(k + 1) - pitch(k), 1);
    const bumps = rows.map((_, pitchClass) => {
      const distance = wrap(pitch(k) - pitchClass + PITCH_CLASSES / 2, PITCH_CLASSES) - PITCH_CLASSES / 2;
      return Math.exp(-0.5 * ((2 * distance) / width) ** 2);
    });
    const length = Math.hypot(...bumps);
    const octave = (pitch(k) / PITCH_CLASSES - CENTRE_OCTAVE) / OCTAVE_WIDTH;
    const weight = Math.exp(-0.5 * octave ** 2);
    rows.forEach((row, i) => {
      row[k] = ((bumps[(i + A_TO_C) % PITCH_CLASSES] ?? 0) / length) * weight;
    });
  }
  return rows;
}

/** Divides a chroma frame by its maximum, in place: librosa.util.normalize(norm=inf). */
export function normaliseChroma(chroma: Float64Array): void {
  const max = chroma.reduce((a, b) => Math.max(a, b), 0);
  chroma.forEach((x, i) => {
    chroma[i] = max < CHROMA_FLOOR ? 0 : x / max;
  });
}
