/** A time derivative of the MFCC of successive frames. */
import { Plan } from "./plan";

/** Frames before the first one of a series, so that derivatives can look there: at least the longest half. */
export const SERIES_LEAD = 8;
/** Floats of a coefficient's series: its lead, the groups of a whole ring, and what a quad may reach beyond them. */
// @ts-ignore: decorator
@inline
export function seriesPitch(plan: Plan): usize {
  return <usize>(plan.ringFrames + SERIES_LEAD + 4);
}

/**
 * Writes the derivative of `count` frames, coefficient after coefficient without gaps; up to three floats after the
 * last are overwritten too.
 * @param at place of the first frame in each series
 */
export function differentiate(plan: Plan, second: bool, at: i32, count: i32, out: usize): void {
  const weights = plan.deltaWeights + (second ? 4 : 0);
  const weightsEnd = weights + ((<usize>(plan.deltaHalf + 1)) << 3);
  const pitch = seriesPitch(plan) << 2;
  let row = plan.series + ((<usize>at) << 2);
  for (let k = 0; k < plan.mfcc; k++, row += pitch) {
    const rowEnd = row + ((<usize>count) << 2);
    let to = out;
    for (let centre = row; centre < rowEnd; centre += 16, to += 16) {
      // The slope's own weight is 0.
      let sum = second ? f32x4.mul(v128.load(centre), v128.load32_splat(weights)) : f32x4.splat(0);
      let before = centre - 4;
      let after = centre + 4;
      for (let w = weights + 8; w < weightsEnd; w += 8, before -= 4, after += 4) {
        const a = v128.load(after);
        const b = v128.load(before);
        const pair = second ? f32x4.add(a, b) : f32x4.sub(a, b);
        sum = f32x4.add(sum, f32x4.mul(pair, v128.load32_splat(w)));
      }
      v128.store(to, sum);
    }
    out += (<usize>count) << 2;
  }
}
