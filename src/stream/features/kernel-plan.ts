/**
 * What the WASM kernel must know of one spec: sizes, tables and the layout of its memory. The tables come from the
 * same functions as the reference, so the two cannot drift. Field order and table layouts: assembly/plan.ts.
 */
import { deltaLookahead, type FeatureSpec, featureChannels } from "../../core/feature-spec.ts";
import { chromaFilterBank } from "./chroma.ts";
import { dctMatrix } from "./dct.ts";
import { deltaWeights } from "./delta.ts";
import { firstAboveHum, melFilterBank } from "./mel.ts";
import { hannWindow, rootsOfUnity } from "./spectrum.ts";
import { speechBand } from "./speech-band.ts";

/** Frames the kernel computes at once: the lanes of a v128. */
export const GROUP_FRAMES = 4;

const QUAD_BYTES = 16;

/**
 * Weights below this share of their bin's largest are left out of the chroma bank: over half of it is Gaussian tails.
 * Twelve classes cannot lose more than 2e-5 of the frame's maximum by it.
 */
const NEGLIGIBLE_WEIGHT = 1e-6;

/** As in assembly/load.ts. */
const FLATTENING = 0.75;
/** As in assembly/delta.ts: what a coefficient's series has beyond a ring's frames. */
const SERIES_EXTRA = 12;
/** As in assembly/decibels.ts. */
const LOWEST_DB = -100;
/** dB: more than log-mel can be apart, so that all of it counts in the cepstrum. */
const WHOLE_RANGE = 1e6;
/** From the least to the largest of 16 bits, less one for rounding. */
const HELD_STEPS = 65_534;

/** Layout of a kernel's memory: [image | work space | staging | slots …]; a slot is [ring | PCM]. Bytes. */
export interface KernelPlan {
  /** The plan and its tables, for address 0. */
  readonly image: Uint8Array;
  /** Work space that every call uses; it holds traces of the last caller's audio. */
  readonly workStart: number;
  readonly workEnd: number;
  /** Where gather() puts frames: within the work space. */
  readonly staging: number;
  readonly slotsStart: number;
  readonly slotBytes: number;
  /** Frames a ring holds. */
  readonly ringFrames: number;
  /** The level of speech within a ring: float32s, there whatever the spec asks for. Bytes. */
  readonly speechOffset: number;
  /** PCM within a slot: its offset, bytes, and room, samples. */
  readonly pcmOffset: number;
  readonly pcmSamples: number;
  /** Samples under a group of four frames. */
  readonly groupSamples: number;
}

export function kernelPlan(spec: FeatureSpec, capacity: number): KernelPlan {
  const { frameLength, hopLength, fftSize, melBands, mfcc } = spec;
  const points = fftSize / 2;
  const half = deltaLookahead(spec);
  // Derivatives of the oldest readable frame look `half` frames back; a complete one has `half` after it, and a group in
  // the making may have overwritten three more.
  const ringFrames = GROUP_FRAMES * Math.ceil((capacity + 2 * half + GROUP_FRAMES - 1) / GROUP_FRAMES);
  const channels = featureChannels(spec);
  const ring = ringLayout(spec, ringFrames);
  const mel = melScale(spec);

  const aboveHum = firstAboveHum(spec);
  const sizes = [frameLength, hopLength, points, melBands, aboveHum, mfcc, spec.chroma, half, ringFrames];
  const blocks = [Number(spec.delta), Number(spec.delta2), Number(spec.logMel)];
  const rows = [ring.energyAt, ring.speechAt, ring.melAt, ring.chromaAt];
  const scale = [mel.centre, mel.step, 1 / mel.step, spec.mfccTopDb ?? WHOLE_RANGE];
  const tables = [
    floats(hannWindow(frameLength).map((w) => w / 2)),
    floats(twiddles(points)),
    floats(unpackRoots(fftSize)),
    sparseBank(forFlattened(melFilterBank(spec))),
    sparseBank(forFlattened(withoutTails(chromaFilterBank(spec)))),
    sparseBank(forFlattened([speechBand(spec)])),
    floats(foldedDct(mfcc, melBands)),
    floats(halfDeltaWeights(spec)),
  ];
  const work = [
    2 * points,
    2 * points,
    points + 1,
    melBands,
    2 * Math.ceil(melBands / 2),
    (mfcc * (ringFrames + SERIES_EXTRA)) / GROUP_FRAMES,
    channels * (ringFrames / GROUP_FRAMES) + 1,
  ];
  const head = [...sizes, ...blocks, ...rows];

  let address = aligned(4 * (head.length + scale.length + tables.length + work.length - 1));
  const place = (bytes: number): number => {
    const at = address;
    address = aligned(address + bytes);
    return at;
  };
  const tablesAt = tables.map((table) => place(table.byteLength));
  const workStart = address;
  const workAt = work.map((quads) => place(quads * QUAD_BYTES));
  const staging = workAt[workAt.length - 1] ?? 0;

  const image = new Uint8Array(workStart);
  new Int32Array(image.buffer).set([...head, ...scale, ...tablesAt, ...workAt.slice(0, -1)]);
  new Float32Array(image.buffer).set(scale, head.length);
  tables.forEach((table, i) => {
    image.set(new Uint8Array(table), tablesAt[i]);
  });

  const groupSamples = (GROUP_FRAMES - 1) * hopLength + frameLength;
  // Room for a group alone: a push that brings more is taken in two parts.
  const pcmSamples = groupSamples;
  return {
    image,
    workStart,
    workEnd: address,
    staging,
    slotsStart: address,
    slotBytes: aligned(ring.bytes + 4 * pcmSamples),
    ringFrames,
    speechOffset: ring.speechAt,
    pcmOffset: ring.bytes,
    pcmSamples,
    groupSamples,
  };
}

/** Where the rows of a ring begin, bytes; −1: it has none of the kind. Log-mel bands are held where MFCC are asked for, too. */
function ringLayout(
  spec: FeatureSpec,
  ringFrames: number,
): Record<"energyAt" | "speechAt" | "melAt" | "chromaAt" | "bytes", number> {
  let bytes = 0;
  const rows = (count: number, width: 2 | 4): number => {
    if (count === 0) return -1;
    const at = bytes;
    bytes = aligned(bytes + count * width * ringFrames);
    return at;
  };
  // Levels are compared with thresholds: they stay exact.
  const energyAt = rows(Number(spec.logEnergy), 4);
  const speechAt = rows(1, 4);
  const melAt = rows(spec.mfcc > 0 || spec.logMel ? spec.melBands : 0, 2);
  const chromaAt = rows(spec.chroma, 2);
  return { energyAt, speechAt, melAt, chromaAt, bytes };
}

/**
 * The scale on which log-mel lies in 16 bits: from its floor to what samples of ±1 cannot exceed. 0.002 dB a step for
 * the default spec, where the float16 of training's features has 0.03 between 32 and 64 dB.
 */
function melScale(spec: FeatureSpec): { readonly centre: number; readonly step: number } {
  const amplitude = hannWindow(spec.frameLength).reduce((sum, w) => sum + w, 0);
  const gains = melFilterBank(spec).map((row) => row.reduce((sum, weight) => sum + weight, 0));
  const highest = 10 * Math.log10(Math.max(...gains) * amplitude ** 2);
  const range = highest - LOWEST_DB;
  return { centre: LOWEST_DB + range / 2, step: range / HELD_STEPS };
}

const aligned = (bytes: number): number => QUAD_BYTES * Math.ceil(bytes / QUAD_BYTES);

const floats = (values: ArrayLike<number>): ArrayBuffer => Float32Array.from(values).buffer;

/** Factors e^(−2πijp/n), j = 1, 2, 3, of the radix-4 passes: n = points, points/4, … and p = 0 … n/4 − 1. */
function twiddles(points: number): number[] {
  const out: number[] = [];
  for (let n = points; n >= 4; n /= 4) {
    const { re, im } = rootsOfUnity(n);
    for (let p = 0; p < n / 4; p++) {
      for (let j = 1; j <= 3; j++) out.push(re[j * p] ?? 0, im[j * p] ?? 0);
    }
  }
  return out;
}

/** e^(−2πik/fftSize), k = 0 … fftSize/4: what turns the half-size transform into the real one. */
function unpackRoots(fftSize: number): number[] {
  const { re, im } = rootsOfUnity(fftSize);
  return Array.from({ length: fftSize / 4 + 1 }, (_, k) => [re[k] ?? 0, im[k] ?? 0]).flat();
}

/** Rows as runs of weights that are not 0. Layout: assembly/bank.ts. */
function sparseBank(rows: readonly Float64Array[]): ArrayBuffer {
  const words: { readonly value: number; readonly float: boolean }[] = [];
  const whole = (value: number): void => void words.push({ value, float: false });
  whole(rows.length);
  for (const row of rows) {
    const runs = runsOf(row);
    whole(runs.length);
    for (const { first, weights } of runs) {
      whole(first);
      whole(weights.length);
      for (const value of weights) words.push({ value, float: true });
    }
  }
  const out = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach(({ value, float }, i) => {
    if (float) out.setFloat32(4 * i, value, true);
    else out.setInt32(4 * i, value, true);
  });
  return out.buffer;
}

function runsOf(row: Float64Array): { readonly first: number; readonly weights: Float64Array }[] {
  const runs: { first: number; weights: Float64Array }[] = [];
  for (let first = 0; first < row.length; first++) {
    let end = first;
    while (end < row.length && row[end] !== 0) end++;
    if (end === first) continue;
    runs.push({ first, weights: row.subarray(first, end) });
    first = end;
  }
  return runs;
}

function withoutTails(rows: readonly Float64Array[]): Float64Array[] {
  return rows.map((row) =>
    row.map((weight, k) => {
      const largest = rows.reduce((max, other) => Math.max(max, other[k] ?? 0), 0);
      return weight < NEGLIGIBLE_WEIGHT * largest ? 0 : weight;
    }),
  );
}

/** Divides the power gain of the flattening, |1 − a·e^(−iω)|² = 1 + a² − 2a·cos ω, out of a bank. */
function forFlattened(rows: readonly Float64Array[]): Float64Array[] {
  return rows.map((row) =>
    row.map((weight, k) => {
      const omega = (Math.PI * k) / (row.length - 1);
      return weight / (1 + FLATTENING ** 2 - 2 * FLATTENING * Math.cos(omega));
    }),
  );
}

/** Left halves of rows k and k + 1 in turns, for k = 0, 2, …; a row that is not there is zeros. */
function foldedDct(rows: number, size: number): number[] {
  const matrix = dctMatrix(rows, size);
  const out: number[] = [];
  for (let k = 0; k < rows; k += 2) {
    for (let n = 0; n < Math.ceil(size / 2); n++) {
      out.push(matrix[k]?.[n] ?? 0, matrix[k + 1]?.[n] ?? 0);
    }
  }
  return out;
}

/** Weights of frame t + n, n = 0 … half, first and second derivative in turns. */
function halfDeltaWeights(spec: FeatureSpec): number[] {
  const half = deltaLookahead(spec);
  const slope = deltaWeights(spec.deltaWidth, 1);
  const curve = deltaWeights(spec.deltaWidth, 2);
  return Array.from({ length: half + 1 }, (_, n) => [slope[half + n] ?? 0, curve[half + n] ?? 0]).flat();
}
