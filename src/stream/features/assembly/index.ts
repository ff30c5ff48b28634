/** The kernel's doors. A ring is channel-major: row c holds channel c of `ringFrames` frames, frame f at f % ringFrames. */
import { applyBank } from "./bank";
import { cepstrum } from "./cepstrum";
import { decibels } from "./decibels";
import { differentiateGroup } from "./delta";
import { loadFrames } from "./load";
import { Plan } from "./plan";
import { powerSpectrum } from "./spectrum";

/** As CHROMA_FLOOR in ../chroma.ts. */
const CHROMA_FLOOR: f32 = 1e-20;

/** Computes frames 4·group…4·group + 3, derivatives apart, from the samples at `pcm`, and writes them to the ring. */
export function analyse(plan: Plan, pcm: usize, ring: usize, group: i32): void {
  const rowBytes = (<usize>plan.ringFrames) << 2;
  const column = ring + ((<usize>(group % (plan.ringFrames >> 2))) << 4);

  const squares = loadFrames(plan, pcm);
  const energy = decibels(f32x4.div(squares, f32x4.splat(<f32>plan.frameLength)));
  if (plan.energyRow >= 0) v128.store(column + (<usize>plan.energyRow) * rowBytes, energy);

  powerSpectrum(plan);
  v128.store(column + (<usize>plan.speechRow) * rowBytes, decibels(applyBank(plan.speechBank, plan.power, plan.workA)));

  if (plan.mfcc > 0 || plan.logMelRow >= 0) {
    applyBank(plan.melBank, plan.power, plan.logMel);
    const end = plan.logMel + ((<usize>plan.melBands) << 4);
    for (let at = plan.logMel; at < end; at += 16) v128.store(at, decibels(v128.load(at)));
    if (plan.logMelRow >= 0) {
      let to = column + (<usize>plan.logMelRow) * rowBytes;
      for (let at = plan.logMel; at < end; at += 16, to += rowBytes) v128.store(to, v128.load(at));
    }
    cepstrum(plan, column, rowBytes);
  }

  if (plan.chroma > 0) {
    // workA is free by now: it takes the twelve sums.
    const largest = applyBank(plan.chromaBank, plan.power, plan.workA);
    const inverse = f32x4.div(f32x4.splat(1), largest);
    const scale = v128.and(inverse, f32x4.ge(largest, f32x4.splat(CHROMA_FLOOR)));
    let to = column + (<usize>plan.chromaRow) * rowBytes;
    for (let i = 0; i < plan.chroma; i++, to += rowBytes) {
      v128.store(to, f32x4.mul(v128.load(plan.workA + ((<usize>i) << 4)), scale));
    }
  }
}

/** Computes the derivatives of frames 4·group…4·group + 3; `deltaHalf` frames after them should be there. */
export function differentiate(plan: Plan, ring: usize, group: i32): void {
  differentiateGroup(plan, ring, group);
}

/** Copies frames [first, first + count) of `rows` ring rows to `out`, row after row without gaps. */
export function gather(plan: Plan, ring: usize, rows: i32, first: i32, count: i32, out: usize): void {
  const frames = plan.ringFrames;
  const start = first % frames;
  const untilEnd = frames - start;
  const head = (<usize>(count < untilEnd ? count : untilEnd)) << 2;
  const tail = ((<usize>count) << 2) - head;
  for (let row = 0; row < rows; row++) {
    memory.copy(out, ring + ((<usize>start) << 2), head);
    memory.copy(out + head, ring, tail);
    out += head + tail;
    ring += (<usize>frames) << 2;
  }
}
