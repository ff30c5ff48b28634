/** Changes the sampling rate of a whole recording. Streaming audio never needs it: decoders deliver 16 kHz. */
import { assertRange } from "../src/core/errors.ts";

/** Zero crossings of the sinc on each side of its centre. 16 with the window below: −80 dB stop band. */
const HALF_WIDTH = 16;
/** Kaiser window's shape: about 80 dB of stop-band attenuation. */
const KAISER_BETA = 8;
/** Share of the narrower band that passes unharmed. */
const PASS_BAND = 0.94;

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b);

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** The taps of one output phase: which input sample is first, relative to the nearest one, and the weights. */
interface Phase {
  readonly first: number;
  readonly taps: Float64Array;
}

function designPhase(fraction: number, cutoff: number): Phase {
  const reach = HALF_WIDTH / cutoff;
  const first = Math.ceil(fraction - reach);
  const taps = new Float64Array(Math.floor(fraction + reach) - first + 1);
  let sum = 0;
  for (let i = 0; i < taps.length; i++) {
    const x = first + i - fraction;
    const angle = Math.PI * x * cutoff;
    const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
    const edge = Math.max(0, 1 - (x / reach) ** 2);
    const tap = (sinc * besselI0(KAISER_BETA * Math.sqrt(edge))) / besselI0(KAISER_BETA);
    taps[i] = tap;
    sum += tap;
  }
  for (let i = 0; i < taps.length; i++) taps[i] = (taps[i] ?? 0) / sum;
  return { first, taps };
}

/**
 * Windowed-sinc resampling of a whole recording; the ends are padded with silence.
 *
 * @param samples mono PCM.
 * @param fromHz whole number 1,000–384,000.
 * @param toHz whole number 1,000–384,000.
 * @returns `samples` itself when the rates are equal, else a new array of ceil(length · to / from) samples.
 */
export function resample(samples: Float32Array, fromHz: number, toHz: number): Float32Array {
  assertRange("fromHz", fromHz, 1_000, 384_000, "Hz");
  assertRange("toHz", toHz, 1_000, 384_000, "Hz");
  if (fromHz === toHz) return samples;
  const divisor = greatestCommonDivisor(Math.round(fromHz), Math.round(toHz));
  const up = Math.round(toHz) / divisor;
  const down = Math.round(fromHz) / divisor;
  const cutoff = Math.min(1, up / down) * PASS_BAND;
  const phases = Array.from({ length: up }, (_, phase) => designPhase(phase / up, cutoff));
  const out = new Float32Array(Math.ceil((samples.length * up) / down));
  for (let n = 0; n < out.length; n++) {
    const position = n * down;
    const phase = phases[position % up];
    if (phase === undefined) break;
    const first = Math.floor(position / up) + phase.first;
    const from = Math.max(0, -first);
    const to = Math.min(phase.taps.length, samples.length - first);
    let sum = 0;
    for (let i = from; i < to; i++) sum += (phase.taps[i] ?? 0) * (samples[first + i] ?? 0);
    out[n] = sum;
  }
  return out;
}
