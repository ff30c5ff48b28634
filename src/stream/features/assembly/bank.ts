/**
 * A filter bank on the power spectrum: a matrix kept as the runs of its weights that matter.
 * Layout, 32-bit words: rows; then for each row: runs; then for each run: first bin, length, weights (f32).
 */

/** out[row] = Σ weight · power[bin], in quads. Returns the largest. */
export function applyBank(bank: usize, power: usize, out: usize): v128 {
  const rows = load<i32>(bank);
  bank += 4;
  let largest = f32x4.splat(0);
  for (let row = 0; row < rows; row++) {
    let even = f32x4.splat(0);
    let odd = f32x4.splat(0);
    const runs = load<i32>(bank);
    bank += 4;
    for (let run = 0; run < runs; run++) {
      let bin = power + ((<usize>load<i32>(bank)) << 4);
      const length = load<i32>(bank, 4);
      bank += 8;
      const pairsEnd = bank + ((<usize>(length >> 1)) << 3);
      for (; bank < pairsEnd; bank += 8, bin += 32) {
        even = f32x4.add(even, f32x4.mul(v128.load(bin), v128.load32_splat(bank)));
        odd = f32x4.add(odd, f32x4.mul(v128.load(bin, 16), v128.load32_splat(bank, 4)));
      }
      if ((length & 1) !== 0) {
        even = f32x4.add(even, f32x4.mul(v128.load(bin), v128.load32_splat(bank)));
        bank += 4;
      }
    }
    const sum = f32x4.add(even, odd);
    largest = f32x4.max(largest, sum);
    v128.store(out + ((<usize>row) << 4), sum);
  }
  return largest;
}
