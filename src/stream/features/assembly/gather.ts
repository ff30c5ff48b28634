/** Reads frames out of a ring, as features: what the ring does not hold is derived from what it does. */
import { cepstrum } from "./cepstrum";
import { differentiate, SERIES_LEAD, seriesPitch } from "./delta";
import { CHROMA_STEPS, held } from "./held";
import { Plan } from "./plan";

/** See gather() in index.ts; `count` is above 0. Quads may reach into the next channel, which is written after them. */
export function gatherFrames(plan: Plan, ring: usize, first: i32, count: i32, out: usize): void {
  const start = first % plan.ringFrames;
  const rowOut = (<usize>count) << 2;
  const rowBytes = (<usize>plan.ringFrames) << 1;
  if (plan.mfcc > 0) {
    const at = fillSeries(plan, ring, first, count);
    const pitch = seriesPitch(plan) << 2;
    let from = plan.series + ((<usize>at) << 2);
    for (let k = 0; k < plan.mfcc; k++, from += pitch, out += rowOut) memory.copy(out, from, rowOut);
    const block = (<usize>plan.mfcc) * rowOut;
    if (plan.delta) {
      differentiate(plan, false, at, count, out);
      out += block;
    }
    if (plan.delta2) {
      differentiate(plan, true, at, count, out);
      out += block;
    }
  }
  if (plan.logMel) {
    const centre = f32x4.splat(plan.melCentre);
    const step = f32x4.splat(plan.melStep);
    let row = ring + <usize>plan.melAt;
    for (let band = 0; band < plan.melBands; band++, row += rowBytes, out += rowOut) {
      heldRow(row, start, count, plan.ringFrames, out, centre, step);
    }
  }
  let row = ring + <usize>plan.chromaAt;
  for (let i = 0; i < plan.chroma; i++, row += rowBytes, out += rowOut) {
    heldRow(row, start, count, plan.ringFrames, out, f32x4.splat(0), f32x4.splat(1 / CHROMA_STEPS));
  }
  if (plan.energyAt >= 0) {
    const levels = ring + <usize>plan.energyAt;
    const untilEnd = plan.ringFrames - start;
    const head = (<usize>(count < untilEnd ? count : untilEnd)) << 2;
    memory.copy(out, levels + ((<usize>start) << 2), head);
    memory.copy(out + head, levels, rowOut - head);
  }
}

/** `count` frames of a row, from `start` on and around the ring's end. */
// @ts-ignore: decorator
@inline
function heldRow(row: usize, start: i32, count: i32, frames: i32, out: usize, centre: v128, step: v128): void {
  const untilEnd = frames - start;
  const head = count < untilEnd ? count : untilEnd;
  let from = row + ((<usize>start) << 1);
  let to = out;
  for (let end = out + ((<usize>head) << 2); to < end; to += 16, from += 8) v128.store(to, held(from, centre, step));
  from = row;
  to = out + ((<usize>head) << 2);
  for (let end = out + ((<usize>count) << 2); to < end; to += 16, from += 8) v128.store(to, held(from, centre, step));
}

/**
 * Computes the cepstral coefficients of the frames and of those that their derivatives look at, in groups of four.
 * @returns place of frame `first` in each series
 */
function fillSeries(plan: Plan, ring: usize, first: i32, count: i32): i32 {
  const groups = plan.ringFrames >> 2;
  const half = plan.deltaHalf;
  const oldest = (first > half ? first - half : 0) >> 2;
  const newest = (first + count - 1 + half) >> 2;
  const rowBytes = (<usize>plan.ringFrames) << 1;
  const pitch = seriesPitch(plan) << 2;
  const centre = f32x4.splat(plan.melCentre);
  const step = f32x4.splat(plan.melStep);
  const bandsEnd = plan.bands + ((<usize>plan.melBands) << 4);
  let to = plan.series + ((<usize>SERIES_LEAD) << 2);
  for (let group = oldest; group <= newest; group++, to += 16) {
    let from = ring + <usize>plan.melAt + ((<usize>(group % groups)) << 3);
    for (let at = plan.bands; at < bandsEnd; at += 16, from += rowBytes) v128.store(at, held(from, centre, step));
    cepstrum(plan, to, pitch);
  }
  if (oldest === 0) {
    // Before the first frame stands the first frame.
    let row = plan.series;
    for (let k = 0; k < plan.mfcc; k++, row += pitch) {
      const frame0 = v128.load32_splat(row + ((<usize>SERIES_LEAD) << 2));
      v128.store(row, frame0);
      v128.store(row, frame0, 16);
    }
  }
  return SERIES_LEAD + first - (oldest << 2);
}
