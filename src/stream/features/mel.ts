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

/** Hz: where the bands begin, and where the last two end; melBands + 2 of them. */
function edgesHz(spec: FeatureSpec): number[] {
  const low = hzToMel(spec.melLowHz);
  const step = (hzToMel(spec.melHighHz) - low) / (spec.melBands + 1);
  return Array.from({ length: spec.melBands + 2 }, (_, i) => melToHz(low + step * i));
}

/** The first band above hum; the topmost where all of them begin below. */
export function firstAboveHum(spec: FeatureSpec): number {
  const begins = edgesHz(spec).slice(0, spec.melBands);
  const first = begins.findIndex((hz) => hz >= (spec.humHz ?? 0));
  return first === -1 ? spec.melBands - 1 : first;
}

/** One row a band, each fftSize/2 + 1 weights on the power spectrum: triangles of equal area, evenly spaced in mel. */
export function melFilterBank(spec: FeatureSpec): Float64Array[] {
  const { melBands, fftSize, sampleRateHz } = spec;
  const edges = edgesHz(spec);
  return Array.from({ length: melBands }, (_, band) => {
    const [left = 0, centre = 0, right = 0] = edges.slice(band, band + 3);
    const area = 2 / (right - left);
    return Float64Array.from({ length: fftSize / 2 + 1 }, (_, k) => {
      const hz = (k * sampleRateHz) / fftSize;
      const rising = (hz - left) / (centre - left);
      const falling = (right - hz) / (right - centre);
      return area * Math.max(0, Math.min(rising, falling));
    });
  });
}
