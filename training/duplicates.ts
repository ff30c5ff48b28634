/** Finds recordings that are one: the same samples, or the same sound at another level, offset or codec. Reads no files. */
import type { AudioFacts } from "./audio-facts.ts";

/** Numbers of recordings that are one, lowest first. */
export type Group = readonly number[];

/** Two recordings of which only listening to the samples can tell whether they are one. */
export interface Pair {
  readonly a: number;
  readonly b: number;
  /** Correlation of their shapes. */
  readonly likeness: number;
}

/** Shapes of one sound correlate more than this, whatever codec it went through. */
const LEAST_LIKENESS = 0.97;
/** Pairs that are compared sample by sample; the most alike come first. */
export const MAX_PAIRS = 500;
/** Samples of one sound correlate more than this; of two takes of a sentence, hardly at all. */
export const LEAST_CORRELATION = 0.8;
/** The narrow band in which the offset is found: 16 kHz by 4. */
const DECIMATION = 4;
/** Offsets that are tried on both sides of where the shapes say, samples at 4 kHz: 0.25 s. */
const REACH = 1_000;

/** Groups of recordings with the same samples. */
export function sameSamples(facts: readonly (AudioFacts | undefined)[]): Group[] {
  const byDigest = Map.groupBy(facts.keys(), (i) => facts[i]?.digest);
  byDigest.delete(undefined);
  return [...byDigest.values()].filter((group) => group.length > 1);
}

/**
 * Pairs of other recordings that look alike, the most alike first.
 * @param isOne whether two are known to be one already.
 */
export function likelyPairs(
  facts: readonly (AudioFacts | undefined)[],
  isOne: (a: number, b: number) => boolean,
): Pair[] {
  const pairs: Pair[] = [];
  for (let a = 0; a < facts.length; a++) {
    const shape = facts[a]?.shape;
    if (shape === undefined) continue;
    for (let b = a + 1; b < facts.length; b++) {
      const other = facts[b]?.shape;
      if (other === undefined) continue;
      let likeness = 0;
      for (let i = 0; i < shape.length; i++) likeness += (shape[i] ?? 0) * (other[i] ?? 0);
      if (likeness > LEAST_LIKENESS && !isOne(a, b)) pairs.push({ a, b, likeness });
    }
  }
  return pairs.sort((x, y) => y.likeness - x.likeness);
}

/** Links between two recordings → groups of all that hang together, with the weakest link of each. */
export function joined(
  links: readonly { readonly a: number; readonly b: number; readonly correlation: number }[],
): { readonly members: Group; readonly correlation: number }[] {
  const groupOf = new Map<number, { members: number[]; correlation: number }>();
  for (const { a, b, correlation } of links) {
    const left = groupOf.get(a) ?? { members: [a], correlation: 1 };
    const right = groupOf.get(b) ?? { members: [b], correlation: 1 };
    const whole = {
      members: left === right ? left.members : [...left.members, ...right.members],
      correlation: Math.min(left.correlation, right.correlation, correlation),
    };
    for (const member of whole.members) groupOf.set(member, whole);
  }
  return [...new Set(groupOf.values())]
    .map(({ members, correlation }) => ({ members: members.toSorted((x, y) => x - y), correlation }))
    .sort((x, y) => (x.members[0] ?? 0) - (y.members[0] ?? 0));
}

/**
 * The strongest correlation of two recordings over all offsets within a quarter of a second of their middles', without
 * regard to sign: 1 for one sound at two levels.
 * @param a,b mono at 16 kHz.
 */
export function soundCorrelation(a: Float32Array, b: Float32Array): number {
  const [slowA, slowB] = [decimate(a), decimate(b)];
  const between = Math.round(middleOf(slowB) - middleOf(slowA));
  let best = 0;
  let offset = 0;
  for (let lag = between - REACH; lag <= between + REACH; lag++) {
    const correlation = Math.abs(correlationAt(slowA, slowB, lag));
    if (correlation > best) [best, offset] = [correlation, lag];
  }
  let exact = 0;
  for (let lag = DECIMATION * (offset - 1); lag <= DECIMATION * (offset + 1); lag++) {
    exact = Math.max(exact, Math.abs(correlationAt(a, b, lag)));
  }
  return exact;
}

/** Of a[i] and b[i + lag], over the energy of both whole recordings: a short overlap that fits is no proof. */
function correlationAt(a: Float32Array, b: Float32Array, lag: number): number {
  const first = Math.max(0, -lag);
  const end = Math.min(a.length, b.length - lag);
  let product = 0;
  for (let i = first; i < end; i++) product += (a[i] ?? 0) * (b[i + lag] ?? 0);
  const energy = Math.sqrt(energyOf(a) * energyOf(b));
  return energy > 0 ? product / energy : 0;
}

const energies = new WeakMap<Float32Array, number>();

function energyOf(samples: Float32Array): number {
  let energy = energies.get(samples);
  if (energy === undefined) {
    energy = samples.reduce((sum, sample) => sum + sample * sample, 0);
    energies.set(samples, energy);
  }
  return energy;
}

function decimate(samples: Float32Array): Float32Array {
  return Float32Array.from({ length: Math.floor(samples.length / DECIMATION) }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < DECIMATION; k++) sum += samples[i * DECIMATION + k] ?? 0;
    return sum / DECIMATION;
  });
}

/** Where the middle of the energy lies, in samples. */
function middleOf(samples: Float32Array): number {
  let moment = 0;
  samples.forEach((sample, i) => {
    moment += i * sample * sample;
  });
  const energy = energyOf(samples);
  return energy > 0 ? moment / energy : 0;
}
