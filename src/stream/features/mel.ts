/** The mel filter bank: librosa.filters.mel with its defaults (htk=False, norm="slaney"). */
import type { FeatureSpec } from "../../core/feature-spec.ts";

// Slaney's Auditory Toolbox: 3 mel = 200 Hz up to 1 kHz, logarithmic above, 27 steps to 6.4 kHz.
const HZ_PER_MEL = 200 / 3;
const BREAK_HZ = 1000;
const BREAK_MEL = BREAK_HZ / HZ_PER_MEL;
const LOG_STEP = Math.log(6.4) / 27;

export const hzToMel = (hz: number): number =>
  hz < BREAK_HZ ? hz / HZ_PER_MEL : BREAK_MEL + Math.log(hz / BREAK_HZ) / LOG_STEP;

export const melToHz = (mel: number): number =>
  mel < BREAK_MEL ? mel * HZ_PER_MEL : BREAK_HZ * Math.exp(LOG_STEP * (mel - BREAK_MEL));

/** One row a band, each fftSize/2 + 1 weights on the power spectrum: triangles of equal area, evenly spaced in mel. */
export function melFilterBank(spec: FeatureSpec): Float64Array[] {
  const { melBands, fftSize, sampleRateHz } = spec;
  const low = hzToMel(spec.melLowHz);
  const high = hzToMel(spec.melHighHz);
  const edgeHz = (i: number): number => melToHz(low + ((high - low) * i) / (melBands + 1));
  return Array.from({ length: melBands }, (_, band) => {
    const left = edgeHz(band);
    const centre = edgeHz(band + 1);
    const right = edgeHz(band + 2);
    const area = 2 / (right - left);
    return Float64Array.from({ length: fftSize / 2 + 1 }, (_, k) => {
      const hz = (k * sampleRateHz) / fftSize;
      const rising = (hz - left) / (centre - left);
      const falling = (right - hz) / (right - centre);
      return area * Math.max(0, Math.min(rising, falling));
    });
  });
}
