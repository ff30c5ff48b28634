/** Deterministic test signals, mono, 16 kHz. */

/** Uniform in [−1, 1): a 32-bit LCG (Numerical Recipes), the one of make_golden.py. */
export function noise(length: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/**
 * Like a voice: pulses of a gliding pitch through two resonances, in syllables, on a noise floor of −66 dB.
 * @param level peak, above 0, at most 1.
 */
export function voice(length: number, seed: number, level = 0.5): Float32Array {
  const floor = noise(length, seed);
  const pitchHz = 90 + (seed % 160);
  const out = new Float32Array(length);
  let phase = 0;
  const states = [0, 0, 0, 0];
  for (let n = 0; n < length; n++) {
    phase += (pitchHz * (1 + 0.2 * Math.sin(n / 4000))) / 16_000;
    let x = 0;
    if (phase >= 1) {
      phase -= 1;
      x = 1;
    }
    [500 + (seed % 300), 1500 + (seed % 900)].forEach((hz, i) => {
      const r = 0.97;
      const y1 = states[2 * i] ?? 0;
      const y2 = states[2 * i + 1] ?? 0;
      x += 2 * r * Math.cos((2 * Math.PI * hz) / 16_000) * y1 - r * r * y2;
      states[2 * i] = x;
      states[2 * i + 1] = y1;
    });
    const syllable = Math.max(0, Math.sin(n / 1000));
    out[n] = x * syllable;
  }
  const peak = out.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-9);
  return out.map((x, n) => level * ((x / peak) * 0.999 + (floor[n] ?? 0) * 5e-4));
}
