/** Doubles a sample rate by a half-band low-pass FIR. Owns its history; what is in the samples is not its business. */

/** Taps of the interpolating branch: images above 4.6 kHz are 60 dB down, the pass band ends at 3.4 kHz. */
const TAPS = 24;
/** Kaiser window's β for 60 dB (Kaiser 1974: 0.1102·(60 − 8.7)). */
const BETA = 5.65;

/** Samples at the input rate by which the output is late. */
export const HALF_BAND_DELAY = TAPS / 2;

/** sinc at the points half-way between input samples, windowed, of sum 1. The other branch of a half-band filter is a pure delay. */
const COEFFICIENTS: Float64Array = (() => {
  const bessel = (x: number): number => {
    let term = 1;
    let sum = 1;
    for (let k = 1; k < 30; k++) {
      term *= (x / (2 * k)) ** 2;
      sum += term;
    }
    return sum;
  };
  const taps = Float64Array.from({ length: TAPS }, (_, i) => {
    const t = i - (TAPS - 1) / 2;
    const window = bessel(BETA * Math.sqrt(1 - (t / (TAPS / 2)) ** 2)) / bessel(BETA);
    return (Math.sin(Math.PI * t) / (Math.PI * t)) * window;
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
})();

/** Streaming: packets may be cut anywhere, the output is that of the uncut signal. */
export class HalfBandUpsampler {
  /** The last TAPS inputs, then the current ones. */
  readonly #line: Float32Array;
  readonly #maxInput: number;

  /** @param maxInput samples of one call at most. */
  constructor(maxInput: number) {
    this.#maxInput = maxInput;
    this.#line = new Float32Array(TAPS + maxInput);
  }

  /** Writes 2 · count samples for `count` ≤ maxInput samples of `input`. */
  process(input: Float32Array, count: number, out: Float32Array): void {
    const line = this.#line;
    const taken = Math.min(count, this.#maxInput);
    line.set(input.subarray(0, taken), TAPS);
    for (let i = 0; i < taken; i++) {
      let between = 0;
      for (let k = 0; k < TAPS; k++) between += (COEFFICIENTS[k] ?? 0) * (line[i + 1 + k] ?? 0);
      out[2 * i] = line[i + TAPS / 2] ?? 0;
      out[2 * i + 1] = between;
    }
    line.copyWithin(0, taken, taken + TAPS);
  }

  reset(): void {
    this.#line.fill(0);
  }
}
