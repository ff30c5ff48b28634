/** Speech-like sound with edges that are known to the sample: for tests of voice activity, windows and decoding. */

const RATE_HZ = 16_000;

/** Uniform in [−1, 1), the same for the same seed. */
export function pseudoRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  };
}

export interface SpeechLikeOptions {
  readonly seconds: number;
  /** [from, to) in seconds, where somebody speaks. */
  readonly spurts: readonly (readonly [number, number])[];
  /** RMS of a spurt, dB re full scale. Default −23. */
  readonly levelDb?: number;
  /** RMS of the background, dB re full scale. Default −75. */
  readonly noiseDb?: number;
  readonly seed?: number;
}

/** One resonance: y[n] = x[n] + a·y[n−1] + b·y[n−2]. */
function resonator(hz: number, widthHz: number): (x: number) => number {
  const radius = Math.exp((-Math.PI * widthHz) / RATE_HZ);
  const a = 2 * radius * Math.cos((2 * Math.PI * hz) / RATE_HZ);
  const b = -radius * radius;
  let y1 = 0;
  let y2 = 0;
  return (x) => {
    const y = x + a * y1 + b * y2;
    y2 = y1;
    y1 = y;
    return y;
  };
}

/**
 * Glottal pulses at 100–160 Hz through three formants, four syllables a second with dips of about 14 dB between
 * them; spurts begin and end at full level, so that their edges are sharp.
 */
export function speechLike(options: SpeechLikeOptions): Float32Array {
  const { seconds, spurts, levelDb = -23, noiseDb = -75, seed = 1 } = options;
  const length = Math.round(seconds * RATE_HZ);
  const random = pseudoRandom(seed);
  const out = new Float32Array(length);
  for (const [from, to] of spurts) {
    const begin = Math.round(from * RATE_HZ);
    const end = Math.min(length, Math.round(to * RATE_HZ));
    const formants = [resonator(550, 80), resonator(1_500, 110), resonator(2_600, 160)];
    let phase = 1;
    let energy = 0;
    for (let i = begin; i < end; i++) {
      const t = (i - begin) / RATE_HZ;
      phase += (130 + 30 * Math.sin(2 * Math.PI * 1.7 * t)) / RATE_HZ;
      const pulse = phase >= 1 ? 1 : 0;
      phase %= 1;
      const excitation = pulse + 0.01 * random();
      const voiced = formants.reduce((sum, formant) => sum + formant(excitation), 0);
      const syllable = 0.2 + 0.8 * Math.cos(Math.PI * 4 * t) ** 2;
      const sample = voiced * syllable;
      out[i] = sample;
      energy += sample * sample;
    }
    const gain = 10 ** (levelDb / 20) / Math.sqrt(energy / Math.max(1, end - begin));
    for (let i = begin; i < end; i++) out[i] = gain * (out[i] ?? 0);
  }
  // Uniform noise: its RMS is its peak / √3.
  const noise = Math.sqrt(3) * 10 ** (noiseDb / 20);
  for (let i = 0; i < length; i++) out[i] = Math.max(-1, Math.min(1, (out[i] ?? 0) + noise * random()));
  return out;
}

export const rms = (samples: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += (samples[i] ?? 0) ** 2;
  return Math.sqrt(sum / Math.max(1, samples.length));
};

/** RMS, dB re full scale. */
export const levelDb = (samples: ArrayLike<number>): number => 20 * Math.log10(rms(samples) + 1e-12);
