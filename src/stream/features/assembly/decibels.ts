/** 10·log10 of a quad. */

// Bits of √½ and the exponent's place in a float32.
const SQRT_HALF_BITS = 0x3f3504f3;
const DB_PER_OCTAVE: f32 = 3.0102999566398121;
const DB_PER_NEPER: f32 = 4.3429448190325183;

/** 10·log10(max(x, 1e-10)); off by less than 1e-5 dB near 0 dB and 1e-5 relative elsewhere. */
// @ts-ignore: decorator
@inline
export function decibels(x: v128): v128 {
  const bits = f32x4.max(x, f32x4.splat(1e-10));
  // x = m · 2^e with m in [√½, √2): ln m = 2·artanh(s), s = (m − 1)/(m + 1), |s| < 0.172; the term after s⁷ is < 3e-8.
  const e = i32x4.shr_s(i32x4.sub(bits, i32x4.splat(SQRT_HALF_BITS)), 23);
  const m = i32x4.sub(bits, i32x4.shl(e, 23));
  const one = f32x4.splat(1);
  const s = f32x4.div(f32x4.sub(m, one), f32x4.add(m, one));
  const ss = f32x4.mul(s, s);
  let series = f32x4.add(f32x4.splat(2.0 / 5), f32x4.mul(ss, f32x4.splat(2.0 / 7)));
  series = f32x4.add(f32x4.splat(2.0 / 3), f32x4.mul(ss, series));
  series = f32x4.add(f32x4.splat(2), f32x4.mul(ss, series));
  return f32x4.add(
    f32x4.mul(f32x4.convert_i32x4_s(e), f32x4.splat(DB_PER_OCTAVE)),
    f32x4.mul(f32x4.mul(s, series), f32x4.splat(DB_PER_NEPER)),
  );
}
