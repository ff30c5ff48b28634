/** Compares audio that came through with audio that went in. */

/** The best normalised cross-correlation of `reference` with a part of `signal`, and where that part begins. */
export interface Match {
  /** −1 … 1; 1 is the same but for loudness. */
  readonly correlation: number;
  /** Samples of `signal` before `reference` begins. */
  readonly lag: number;
}

/**
 * Tries every lag at which `reference` lies whole within `signal`: coarse on every fourth sample and lag, then exactly
 * around the best. Both at one rate.
 */
export function bestMatch(signal: Float32Array, reference: Float32Array): Match {
  const last = signal.length - reference.length;
  let best: Match = { correlation: -1, lag: 0 };
  const consider = (lag: number, step: number): void => {
    const correlation = correlationAt(signal, reference, lag, step);
    if (correlation > best.correlation) best = { correlation, lag };
  };
  for (let lag = 0; lag <= last; lag += 4) consider(lag, 4);
  const coarse = best.lag;
  best = { correlation: -1, lag: coarse };
  for (let lag = Math.max(0, coarse - 8); lag <= Math.min(last, coarse + 8); lag++) consider(lag, 1);
  return best;
}

function correlationAt(signal: Float32Array, reference: Float32Array, lag: number, step: number): number {
  let dot = 0;
  let signalEnergy = 0;
  let referenceEnergy = 0;
  for (let i = 0; i < reference.length; i += step) {
    const a = signal[lag + i] ?? 0;
    const b = reference[i] ?? 0;
    dot += a * b;
    signalEnergy += a * a;
    referenceEnergy += b * b;
  }
  const scale = Math.sqrt(signalEnergy * referenceEnergy);
  return scale === 0 ? 0 : dot / scale;
}

/**
 * What an Opus encoder for speech does to its input first: a second-order high-pass at 60 Hz and up (libopus,
 * opus_encoder.c, hp_cutoff). It is not heard, but turns the phase of a voice's lowest partials, which costs 0.05 of
 * correlation. A fair reference has gone through it too.
 */
export function opusHighPass(samples: Float32Array, rateHz: number, cutoffHz = 60): Float32Array {
  const angle = (1.5 * Math.PI * cutoffHz) / rateHz;
  const r = 1 - 0.92 * angle;
  const a1 = -r * (2 - angle * angle);
  const a2 = r * r;
  let s0 = 0;
  let s1 = 0;
  return samples.map((x) => {
    const y = s0 + r * x;
    s0 = s1 - a1 * y - 2 * r * x;
    s1 = r * x - a2 * y;
    return y;
  });
}

/**
 * The median of how well the pieces of `reference` match, each where it fits best: for audio that came through something
 * that leaves out or repeats frames when its machine is busy, after which nothing fits at one lag. Quiet pieces, under a
 * tenth of the mean energy, do not count: noise matches anything. With pieces of 200 ms the same speech backwards gives
 * about 0.45.
 */
export function medianMatch(signal: Float32Array, reference: Float32Array, pieceSamples: number): number {
  const pieces = Array.from({ length: Math.floor(reference.length / pieceSamples) }, (_, i) =>
    reference.subarray(i * pieceSamples, (i + 1) * pieceSamples),
  );
  const energies = pieces.map((piece) => piece.reduce((sum, x) => sum + x * x, 0));
  const mean = energies.reduce((sum, energy) => sum + energy, 0) / pieces.length;
  const correlations = pieces
    .filter((_, i) => (energies[i] ?? 0) >= mean / 10)
    .map((piece) => bestMatch(signal, piece).correlation)
    .sort((a, b) => a - b);
  return correlations[Math.floor((correlations.length - 1) / 2)] ?? 0;
}
