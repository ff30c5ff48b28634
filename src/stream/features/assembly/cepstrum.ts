/**
 * Cepstral coefficients: a DCT-II of the log-mel bands. Even rows of the matrix are symmetric and odd rows
 * antisymmetric, so the bands are folded first and each row costs half.
 */
import { Plan } from "./plan";

/**
 * Writes mfcc quads of `plan.bands` to out, out + rowBytes, … A band counts as at least
 * `plan.mfccTopDb` below the loudest of its frame above hum. The table holds, a pair of rows (k, k + 1), their halves in turns.
 */
export function cepstrum(plan: Plan, out: usize, rowBytes: usize): void {
  const bands = plan.melBands;
  const bandsEnd = plan.bands + ((<usize>bands) << 4);
  const aboveHum = plan.bands + ((<usize>plan.aboveHum) << 4);
  let loudest = v128.load(aboveHum);
  for (let at = aboveHum + 16; at < bandsEnd; at += 16) loudest = f32x4.max(loudest, v128.load(at));
  const least = f32x4.sub(loudest, f32x4.splat(plan.mfccTopDb));
  const half = (bands + 1) >> 1;
  const folded = plan.folded;
  for (let n = 0; n < half; n++) {
    const a = f32x4.max(least, v128.load(plan.bands + ((<usize>n) << 4)));
    const b = f32x4.max(least, v128.load(plan.bands + ((<usize>(bands - 1 - n)) << 4)));
    const middle = n === bands - 1 - n;
    const to = folded + ((<usize>n) << 5);
    v128.store(to, middle ? a : f32x4.add(a, b));
    v128.store(to, f32x4.sub(a, b), 16);
  }
  let table = plan.dct;
  const mfcc = plan.mfcc;
  const foldedEnd = folded + ((<usize>half) << 5);
  for (let k = 0; k < mfcc; k += 2) {
    let even = f32x4.splat(0);
    let odd = f32x4.splat(0);
    for (let at = folded; at < foldedEnd; at += 32, table += 8) {
      even = f32x4.add(even, f32x4.mul(v128.load(at), v128.load32_splat(table)));
      odd = f32x4.add(odd, f32x4.mul(v128.load(at, 16), v128.load32_splat(table, 4)));
    }
    v128.store(out, even);
    out += rowBytes;
    if (k + 1 < mfcc) v128.store(out, odd);
    out += rowBytes;
  }
}
