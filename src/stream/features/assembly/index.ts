/**
 * The kernel's doors. A ring holds, of `ringFrames` frames, row after row: levels as f32, log-mel bands and chroma as
 * i16; frame f at f % ringFrames. MFCC and derivatives follow from the bands when frames are read.
 */
import { applyBank } from "./bank";
import { decibels } from "./decibels";
import { Plan } from "./plan";
import { powerSpectrum } from "./spectrum";
import { loadFrames } from "./load";
import { gatherFrames } from "./gather";
import { CHROMA_STEPS, hold } from "./held";

/** As CHROMA_FLOOR in ../chroma.ts. */
const CHROMA_FLOOR: f32 = 1e-20;

/** Computes frames 4·group…4·group + 3 from the samples at `pcm` and writes them to the ring. */
export function analyse(plan: Plan, pcm: usize, ring: usize, group: i32): void {
  const column = <usize>(group % (plan.ringFrames >> 2));
  const levels = ring + (column << 4);

  const squares = loadFrames(plan, pcm);
  const energy = decibels(f32x4.div(squares, f32x4.splat(<f32>plan.frameLength)));
  if (plan.energyAt >= 0) v128.store(levels + <usize>plan.energyAt, energy);

  powerSpectrum(plan);
  v128.store(levels + <usize>plan.speechAt, decibels(applyBank(plan.speechBank, plan.power, plan.workA)));

  const held = ring + (column << 3);
  const rowBytes = (<usize>plan.ringFrames) << 1;
  if (plan.melAt >= 0) {
    applyBank(plan.melBank, plan.power, plan.bands);
    const centre = f32x4.splat(plan.melCentre);
    const stepsPerDb = f32x4.splat(plan.stepsPerDb);
    const end = plan.bands + ((<usize>plan.melBands) << 4);
    let to = held + <usize>plan.melAt;
    for (let at = plan.bands; at < end; at += 16, to += rowBytes) {
      hold(to, f32x4.mul(f32x4.sub(decibels(v128.load(at)), centre), stepsPerDb));
    }
  }

  if (plan.chroma > 0) {
    // workA is free by now: it takes the twelve sums.
    const largest = applyBank(plan.chromaBank, plan.power, plan.workA);
    const inverse = f32x4.div(f32x4.splat(CHROMA_STEPS), largest);
    const scale = v128.and(inverse, f32x4.ge(largest, f32x4.splat(CHROMA_FLOOR)));
    let to = held + <usize>plan.chromaAt;
    for (let i = 0; i < plan.chroma; i++, to += rowBytes) {
      hold(to, f32x4.mul(v128.load(plan.workA + ((<usize>i) << 4)), scale));
    }
  }
}

/**
 * Writes all features of frames [first, first + count) to `out`, channel after channel without gaps; up to three floats
 * after the last are overwritten too. `deltaHalf` frames after them, and before them since frame 0, must be held.
 */
export function gather(plan: Plan, ring: usize, first: i32, count: i32, out: usize): void {
  if (count > 0) gatherFrames(plan, ring, first, count, out);
}
