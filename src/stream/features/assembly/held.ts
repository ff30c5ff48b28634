/** Numbers as a ring holds them: 16 bits, on a scale that their kind never leaves. */

/** Of a chroma class, 0 to 1: a power of two, so that both ends come back exactly. */
export const CHROMA_STEPS: f32 = 16384;

/** Rounds a quad of steps to four i16 at `to`. */
// @ts-ignore: decorator
@inline
export function hold(to: usize, steps: v128): void {
  const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(steps));
  v128.store64_lane(to, i16x8.narrow_i32x4_s(whole, whole), 0);
}

/** The four i16 at `from` as a quad of centre + step · i16. */
// @ts-ignore: decorator
@inline
export function held(from: usize, centre: v128, step: v128): v128 {
  return f32x4.add(centre, f32x4.mul(f32x4.convert_i32x4_s(v128.load16x4_s(from)), step));
}
