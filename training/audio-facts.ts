/** What can be measured of one recording's sound without knowing what it should be. Judging it is corpus-check.ts. */
import { createHash } from "node:crypto";

export interface AudioFacts {
  readonly durationS: number;
  readonly sampleRateHz: number;
  /** Loudest 20 ms, dB re full scale; −120 at the least. */
  readonly loudestDb: number;
  /** Samples at full scale. */
  readonly clippedSamples: number;
  /** Digital silence before the first and after the last sound. */
  readonly zerosBeforeS: number;
  readonly zerosAfterS: number;
  /** How far the first and the last 20 ms of sound are below the loud tenth of the recording, dB. */
  readonly startDb: number;
  readonly endDb: number;
  /** Equal for equal samples. */
  readonly digest: string;
  /** Alike for the same recording at another level, with other silence around it or from another codec. */
  readonly shape: Float32Array<ArrayBuffer>;
}

/** A converter at its end stops here; the last bits are lost in dither and codecs. */
const FULL_SCALE = 0.999;
/** What 16 bits round to zero. */
const DIGITAL_ZERO = 2 ** -16;
const FLOOR_DB = -120;
/** Frames of 20 ms on each side of the middle: 1.28 s, which most acted sentences fill. */
const SHAPE_REACH = 64;
/** Below the loudest frame this is background, dB: another codec may change it. */
const SHAPE_RANGE_DB = 40;

/** @param samples mono, not empty. */
export function audioFacts(samples: Float32Array, sampleRateHz: number): AudioFacts {
  let first = 0;
  let end = samples.length;
  while (first < end && Math.abs(samples[first] ?? 0) < DIGITAL_ZERO) first++;
  while (end > first && Math.abs(samples[end - 1] ?? 0) < DIGITAL_ZERO) end--;
  let clippedSamples = 0;
  for (const sample of samples) if (Math.abs(sample) >= FULL_SCALE) clippedSamples++;
  const size = Math.max(1, Math.round(sampleRateHz / 50));
  const { levels, edges } = frameLevels(samples, size);
  const byLevel = levels.toSorted().reverse();
  const loudDb = byLevel[Math.floor(levels.length / 10)] ?? FLOOR_DB;
  return {
    durationS: samples.length / sampleRateHz,
    sampleRateHz,
    loudestDb: byLevel[0] ?? FLOOR_DB,
    clippedSamples,
    zerosBeforeS: first / sampleRateHz,
    zerosAfterS: (samples.length - end) / sampleRateHz,
    startDb: loudDb - (levelDb(samples, first, Math.min(end, first + size)) ?? FLOOR_DB),
    endDb: loudDb - (levelDb(samples, Math.max(first, end - size), end) ?? FLOOR_DB),
    digest: createHash("sha256")
      .update(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength))
      .digest("base64"),
    shape: shapeOf(levels, edges),
  };
}

/** Level of each 20 ms, and of its first difference, which hears the sharp sounds. */
function frameLevels(samples: Float32Array, size: number): { levels: Float64Array; edges: Float64Array } {
  const count = Math.max(1, Math.floor(samples.length / size));
  const levels = new Float64Array(count);
  const edges = new Float64Array(count);
  let before = 0;
  for (let t = 0; t < count; t++) {
    let energy = 0;
    let change = 0;
    const end = Math.min(samples.length, (t + 1) * size);
    for (let i = t * size; i < end; i++) {
      const sample = samples[i] ?? 0;
      energy += sample * sample;
      change += (sample - before) * (sample - before);
      before = sample;
    }
    levels[t] = decibels(energy / size);
    edges[t] = decibels(change / size);
  }
  return { levels, edges };
}

function levelDb(samples: Float32Array, from: number, to: number): number | undefined {
  if (to <= from) return undefined;
  let energy = 0;
  for (let i = from; i < to; i++) energy += (samples[i] ?? 0) ** 2;
  return decibels(energy / (to - from));
}

const decibels = (power: number): number => Math.max(FLOOR_DB, 10 * Math.log10(power + 1e-12));

/**
 * Both curves around the middle of the sound's energy, without their mean, of length 1: the product of two shapes is
 * their correlation. The middle moves with the sound, so silence before and after it does not matter.
 */
function shapeOf(levels: Float64Array, edges: Float64Array): Float32Array<ArrayBuffer> {
  let total = 0;
  let moment = 0;
  levels.forEach((level, t) => {
    const power = 10 ** (level / 10);
    total += power;
    moment += power * t;
  });
  const middle = Math.round(total > 0 ? moment / total : 0);
  const curves = [levels, edges].map((curve) => {
    const floor = Math.max(...curve) - SHAPE_RANGE_DB;
    const cut = Float32Array.from({ length: 2 * SHAPE_REACH }, (_, i) =>
      Math.max(0, (curve[middle - SHAPE_REACH + i] ?? FLOOR_DB) - floor),
    );
    const mean = cut.reduce((sum, value) => sum + value, 0) / cut.length;
    return cut.map((value) => value - mean);
  });
  const shape = Float32Array.from(curves.flatMap((curve) => [...curve]));
  const length = Math.hypot(...shape);
  return length > 0 ? shape.map((value) => value / length) : shape;
}
