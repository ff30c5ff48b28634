/** From samples to a power spectrum, float64: Hann window and a textbook radix-2 FFT. */

/** Periodic Hann window: scipy.signal.get_window("hann", length). */
export function hannWindow(length: number): Float64Array {
  return Float64Array.from({ length }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / length));
}

/** The roots of unity e^(−2πik/size), k = 0 … size − 1, of a forward transform. */
export function rootsOfUnity(size: number): { readonly re: Float64Array; readonly im: Float64Array } {
  const angle = (k: number): number => (-2 * Math.PI * k) / size;
  return {
    re: Float64Array.from({ length: size }, (_, k) => Math.cos(angle(k))),
    im: Float64Array.from({ length: size }, (_, k) => Math.sin(angle(k))),
  };
}

/** Power spectra of frames of one size. Owns its work space, so one instance serves one thread of calls. */
export class PowerSpectrum {
  readonly #size: number;
  readonly #window: Float64Array;
  readonly #roots: ReturnType<typeof rootsOfUnity>;
  readonly #re: Float64Array;
  readonly #im: Float64Array;

  /** @param size of the FFT, a power of two; frames of `frameLength` ≤ size are zero-padded to it. */
  constructor(frameLength: number, size: number) {
    this.#size = size;
    this.#window = hannWindow(frameLength);
    this.#roots = rootsOfUnity(size);
    this.#re = new Float64Array(size);
    this.#im = new Float64Array(size);
  }

  /**
   * |FFT(window · frame)|² at bins 0…size/2.
   * librosa.stft centres the window in the FFT; here it begins at 0: that shifts the phase, never the power.
   */
  of(frame: ArrayLike<number>, out: Float64Array): void {
    const re = this.#re;
    const im = this.#im;
    re.fill(0);
    im.fill(0);
    this.#window.forEach((w, n) => {
      re[n] = w * (frame[n] ?? 0);
    });
    this.#transform();
    for (let k = 0; k <= this.#size / 2; k++) {
      const a = re[k] ?? 0;
      const b = im[k] ?? 0;
      out[k] = a * a + b * b;
    }
  }

  /** In-place decimation in time (Cooley–Tukey): bit reversal, then butterflies of doubling span. */
  #transform(): void {
    const size = this.#size;
    const re = this.#re;
    const im = this.#im;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; (j & bit) !== 0; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        const swap = re[i] ?? 0;
        re[i] = re[j] ?? 0;
        re[j] = swap;
      }
    }
    for (let span = 1; span < size; span *= 2) {
      const step = size / (2 * span);
      for (let start = 0; start < size; start += 2 * span) {
        for (let k = 0; k < span; k++) {
          const a = start + k;
          const b = a + span;
          const wr = this.#roots.re[k * step] ?? 0;
          const wi = this.#roots.im[k * step] ?? 0;
          const br = re[b] ?? 0;
          const bi = im[b] ?? 0;
          const tr = br * wr - bi * wi;
          const ti = br * wi + bi * wr;
          const ar = re[a] ?? 0;
          const ai = im[a] ?? 0;
          re[b] = ar - tr;
          im[b] = ai - ti;
          re[a] = ar + tr;
          im[a] = ai + ti;
        }
      }
    }
  }
}
