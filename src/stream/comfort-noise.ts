/** What stands where nothing was heard: noise at −70 dBFS. Where it goes is decode-audio.ts. */

/** −70 dBFS. Digital silence would put features 40 dB below any microphone that the models know; this is below speech. */
const RMS = 10 ** (-70 / 20);
const LENGTH = 8_192;

/** White, uniform, the same in every run (a linear congruential generator, Numerical Recipes' constants). */
const NOISE: Float32Array = (() => {
  let state = 1;
  return Float32Array.from({ length: LENGTH }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state / 2 ** 31) * Math.sqrt(3) * RMS;
  });
})();

/** Samples of one piece at most: 20 ms, the length of a usual packet. */
export const NOISE_PIECE = 320;

/** `count` ≤ NOISE_PIECE samples for the stream position `at`. Shared and read-only. */
export function comfortNoise(at: number, count: number): Float32Array {
  const from = at % (LENGTH - NOISE_PIECE);
  return NOISE.subarray(from, from + Math.min(count, NOISE_PIECE));
}
