/** First and second time derivatives of the MFCC of four successive frames. */
import { Plan } from "./plan";

/**
 * Computes both derivatives of frames 4·group…4·group + 3 and writes those that have a row.
 * Frames that do not exist yet count as whatever the ring holds: the group is computed again when they do.
 */
export function differentiateGroup(plan: Plan, ring: usize, group: i32): void {
  const half = plan.deltaHalf;
  const reach = (half + 3) >> 2;
  const groups = plan.ringFrames >> 2;
  const rowBytes = (<usize>plan.ringFrames) << 2;
  const mfcc = plan.mfcc;
  const history = plan.history;
  // Unroll the ring: five groups of each coefficient side by side, the one in question in the middle.
  for (let g = -reach; g <= reach; g++) {
    let from = ring + ((<usize>((group + g + groups) % groups)) << 4);
    let to = history + ((<usize>(g + 2)) << 4);
    if (group + g < 0) {
      // Before the first frame stands the first frame, which is frame 0 of the ring's group 0.
      from = ring;
      for (let k = 0; k < mfcc; k++, from += rowBytes, to += 80) v128.store(to, v128.load32_splat(from));
    } else {
      for (let k = 0; k < mfcc; k++, from += rowBytes, to += 80) v128.store(to, v128.load(from));
    }
  }
  const column = (<usize>(group % groups)) << 4;
  let out1: usize = plan.deltaRow < 0 ? 0 : ring + (<usize>plan.deltaRow) * rowBytes + column;
  let out2: usize = plan.delta2Row < 0 ? 0 : ring + (<usize>plan.delta2Row) * rowBytes + column;
  const weightsEnd = plan.deltaWeights + ((<usize>(half + 1)) << 3);
  let centre = history + 32;
  for (let k = 0; k < mfcc; k++, centre += 80) {
    let slope = f32x4.splat(0);
    let curve = f32x4.mul(v128.load(centre), v128.load32_splat(plan.deltaWeights, 4));
    let before = centre - 4;
    let after = centre + 4;
    for (let w = plan.deltaWeights + 8; w < weightsEnd; w += 8, before -= 4, after += 4) {
      const a = v128.load(after);
      const b = v128.load(before);
      slope = f32x4.add(slope, f32x4.mul(f32x4.sub(a, b), v128.load32_splat(w)));
      curve = f32x4.add(curve, f32x4.mul(f32x4.add(a, b), v128.load32_splat(w, 4)));
    }
    if (out1 !== 0) {
      v128.store(out1, slope);
      out1 += rowBytes;
    }
    if (out2 !== 0) {
      v128.store(out2, curve);
      out2 += rowBytes;
    }
  }
}
