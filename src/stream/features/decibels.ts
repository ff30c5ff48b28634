/** Power to decibels, float64. */

/** Powers below this count as this: −100 dB. Full-scale speech gives mel powers of 1e-6 to 1e3. */
export const POWER_FLOOR = 1e-10;

/** 10·log10(power), floor −100 dB. librosa.power_to_db(power, ref=1, amin=1e-10, top_db=None). */
export const decibels = (power: number): number => 10 * Math.log10(Math.max(power, POWER_FLOOR));
