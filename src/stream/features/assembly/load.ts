/** Brings four overlapping frames into the four lanes, windowed and flattened, and measures their energy. */
import { Plan } from "./plan";

/**
 * Each windowed sample less this share of the one before. Voices are strong in the low bands, and float32 would round
 * that strength into the weak high ones; flattened first, they come out twice as exact. ../kernel-plan.ts divides its
 * gain out of the banks.
 */
const FLATTENING: f32 = 0.75;

/** Fills workA with the frames at pcm + {0, 1, 2, 3} hops, zero-padded. Returns the frames' sums of squares. */
export function loadFrames(plan: Plan, pcm: usize): v128 {
  const length = plan.frameLength;
  const hopBytes = (<usize>plan.hopLength) << 2;
  const frame1 = pcm + hopBytes;
  const frame2 = frame1 + hopBytes;
  const frame3 = frame2 + hopBytes;
  const window = plan.window;
  const out = plan.workA;
  const share = f32x4.splat(FLATTENING);
  let last = f32x4.splat(0);
  let sum0 = f32x4.splat(0);
  let sum1 = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  let sum3 = f32x4.splat(0);
  const blocks = length & ~3;
  let n = 0;
  for (; n < blocks; n += 4) {
    const at = (<usize>n) << 2;
    // A 4 × 4 transposition: from four samples of each frame to one sample of four frames.
    const a = v128.load(pcm + at);
    const b = v128.load(frame1 + at);
    const c = v128.load(frame2 + at);
    const d = v128.load(frame3 + at);
    const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
    const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    const x0 = v128.shuffle<f32>(ab0, cd0, 0, 1, 4, 5);
    const x1 = v128.shuffle<f32>(ab0, cd0, 2, 3, 6, 7);
    const x2 = v128.shuffle<f32>(ab1, cd1, 0, 1, 4, 5);
    const x3 = v128.shuffle<f32>(ab1, cd1, 2, 3, 6, 7);
    sum0 = f32x4.add(sum0, f32x4.mul(x0, x0));
    sum1 = f32x4.add(sum1, f32x4.mul(x1, x1));
    sum2 = f32x4.add(sum2, f32x4.mul(x2, x2));
    sum3 = f32x4.add(sum3, f32x4.mul(x3, x3));
    const v0 = f32x4.mul(x0, v128.load32_splat(window + at));
    const v1 = f32x4.mul(x1, v128.load32_splat(window + at, 4));
    const v2 = f32x4.mul(x2, v128.load32_splat(window + at, 8));
    const v3 = f32x4.mul(x3, v128.load32_splat(window + at, 12));
    const to = out + (at << 2);
    v128.store(to, f32x4.sub(v0, last));
    v128.store(to, f32x4.sub(v1, f32x4.mul(v0, share)), 16);
    v128.store(to, f32x4.sub(v2, f32x4.mul(v1, share)), 32);
    v128.store(to, f32x4.sub(v3, f32x4.mul(v2, share)), 48);
    last = f32x4.mul(v3, share);
  }
  for (; n < length; n++) {
    const at = (<usize>n) << 2;
    const x = f32x4(load<f32>(pcm + at), load<f32>(frame1 + at), load<f32>(frame2 + at), load<f32>(frame3 + at));
    sum0 = f32x4.add(sum0, f32x4.mul(x, x));
    const v = f32x4.mul(x, v128.load32_splat(window + at));
    v128.store(out + (at << 2), f32x4.sub(v, last));
    last = f32x4.mul(v, share);
  }
  // The difference is one sample longer than the frame; the transform is circular.
  const end = out + ((<usize>length) << 4);
  memory.fill(end, 0, (<usize>(2 * plan.points - length)) << 4);
  const wrapped = length === 2 * plan.points ? out : end;
  v128.store(wrapped, f32x4.sub(v128.load(wrapped), last));
  return f32x4.add(f32x4.add(sum0, sum1), f32x4.add(sum2, sum3));
}
