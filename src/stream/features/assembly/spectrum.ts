/**
 * Power spectra of four real frames, one in each lane. The even and odd samples are the real and imaginary parts of
 * a complex FFT of half the size (Stockham's, radix 4: it sorts itself and needs no bit reversal).
 */
import { Plan } from "./plan";

/** Leaves |X[k]|², k = 0…points, in plan.power. The samples are in workA; both work areas are overwritten. */
export function powerSpectrum(plan: Plan): void {
  const points = plan.points;
  let from = plan.workA;
  let to = plan.workB;
  let twiddles = plan.twiddles;
  let stride = 1;
  let length = points;
  while (length >= 4) {
    stage4(from, to, points, stride, twiddles);
    twiddles += (<usize>(length >> 2)) * 24;
    length >>= 2;
    stride <<= 2;
    const swap = from;
    from = to;
    to = swap;
  }
  if (length === 2) {
    stage2(from, to, points);
    from = to;
  }
  unpack(plan, from);
}

/** One radix-4 pass: butterflies of elements a quarter apart, written so that the next pass finds them in order. */
function stage4(from: usize, to: usize, points: i32, stride: i32, twiddles: usize): void {
  const quarter = (<usize>points) << 3;
  const span = (<usize>stride) << 5;
  const end = from + quarter;
  let first = true;
  while (from < end) {
    const w1r = v128.load32_splat(twiddles);
    const w1i = v128.load32_splat(twiddles, 4);
    const w2r = v128.load32_splat(twiddles, 8);
    const w2i = v128.load32_splat(twiddles, 12);
    const w3r = v128.load32_splat(twiddles, 16);
    const w3i = v128.load32_splat(twiddles, 20);
    twiddles += 24;
    for (const stop = from + span; from < stop; from += 32, to += 32) {
      const c0 = from + 2 * quarter;
      const ar = v128.load(from);
      const ai = v128.load(from, 16);
      const cr = v128.load(c0);
      const ci = v128.load(c0, 16);
      const br = v128.load(from + quarter);
      const bi = v128.load(from + quarter, 16);
      const dr = v128.load(c0 + quarter);
      const di = v128.load(c0 + quarter, 16);
      const sumACr = f32x4.add(ar, cr);
      const sumACi = f32x4.add(ai, ci);
      const subACr = f32x4.sub(ar, cr);
      const subACi = f32x4.sub(ai, ci);
      const sumBDr = f32x4.add(br, dr);
      const sumBDi = f32x4.add(bi, di);
      const subBDr = f32x4.sub(br, dr);
      const subBDi = f32x4.sub(bi, di);
      const y2 = to + 2 * span;
      v128.store(to, f32x4.add(sumACr, sumBDr));
      v128.store(to, f32x4.add(sumACi, sumBDi), 16);
      // (a − c) ∓ i(b − d)
      const y1r = f32x4.add(subACr, subBDi);
      const y1i = f32x4.sub(subACi, subBDr);
      const y2r = f32x4.sub(sumACr, sumBDr);
      const y2i = f32x4.sub(sumACi, sumBDi);
      const y3r = f32x4.sub(subACr, subBDi);
      const y3i = f32x4.add(subACi, subBDr);
      if (first) {
        // The first factors of every pass are 1.
        v128.store(to + span, y1r);
        v128.store(to + span, y1i, 16);
        v128.store(y2, y2r);
        v128.store(y2, y2i, 16);
        v128.store(y2 + span, y3r);
        v128.store(y2 + span, y3i, 16);
      } else {
        v128.store(to + span, f32x4.sub(f32x4.mul(y1r, w1r), f32x4.mul(y1i, w1i)));
        v128.store(to + span, f32x4.add(f32x4.mul(y1r, w1i), f32x4.mul(y1i, w1r)), 16);
        v128.store(y2, f32x4.sub(f32x4.mul(y2r, w2r), f32x4.mul(y2i, w2i)));
        v128.store(y2, f32x4.add(f32x4.mul(y2r, w2i), f32x4.mul(y2i, w2r)), 16);
        v128.store(y2 + span, f32x4.sub(f32x4.mul(y3r, w3r), f32x4.mul(y3i, w3i)));
        v128.store(y2 + span, f32x4.add(f32x4.mul(y3r, w3i), f32x4.mul(y3i, w3r)), 16);
      }
    }
    first = false;
    to += 3 * span;
  }
}

/** The last pass when the number of points is not a power of 4. */
function stage2(from: usize, to: usize, points: i32): void {
  const half = (<usize>points) << 4;
  for (const end = from + half; from < end; from += 16, to += 16) {
    const a = v128.load(from);
    const b = v128.load(from + half);
    v128.store(to, f32x4.add(a, b));
    v128.store(to + half, f32x4.sub(a, b));
  }
}

/** From the complex transform Z of the packed samples to the power of the real one. The window came halved. */
function unpack(plan: Plan, z: usize): void {
  const points = plan.points;
  const power = plan.power;
  const edge = f32x4.add(v128.load(z), v128.load(z, 16));
  const edgeLast = f32x4.sub(v128.load(z), v128.load(z, 16));
  const four = f32x4.splat(4);
  v128.store(power, f32x4.mul(four, f32x4.mul(edge, edge)));
  v128.store(power + ((<usize>points) << 4), f32x4.mul(four, f32x4.mul(edgeLast, edgeLast)));
  let low = z + 32;
  let high = z + ((<usize>(points - 1)) << 5);
  let powerLow = power + 16;
  let powerHigh = power + ((<usize>(points - 1)) << 4);
  let root = plan.roots + 8;
  while (low <= high) {
    const ar = v128.load(low);
    const ai = v128.load(low, 16);
    const br = v128.load(high);
    const bi = v128.load(high, 16);
    const wr = v128.load32_splat(root);
    const wi = v128.load32_splat(root, 4);
    // E = Z[k] + Z*[n−k], O = −i(Z[k] − Z*[n−k]); X[k] = E + wO, X[n−k] = (E − wO)*.
    const er = f32x4.add(ar, br);
    const ei = f32x4.sub(ai, bi);
    const dr = f32x4.sub(ar, br);
    const di = f32x4.add(ai, bi);
    const tr = f32x4.add(f32x4.mul(wr, di), f32x4.mul(wi, dr));
    const ti = f32x4.sub(f32x4.mul(wi, di), f32x4.mul(wr, dr));
    const lowR = f32x4.add(er, tr);
    const lowI = f32x4.add(ei, ti);
    const highR = f32x4.sub(er, tr);
    const highI = f32x4.sub(ei, ti);
    v128.store(powerLow, f32x4.add(f32x4.mul(lowR, lowR), f32x4.mul(lowI, lowI)));
    v128.store(powerHigh, f32x4.add(f32x4.mul(highR, highR), f32x4.mul(highI, highI)));
    low += 32;
    high -= 32;
    powerLow += 16;
    powerHigh -= 16;
    root += 8;
  }
}
