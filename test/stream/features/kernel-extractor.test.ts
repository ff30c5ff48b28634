import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_FEATURE_SPEC, type FeatureSpec, featureNames } from "../../../src/core/feature-spec.ts";
import { createFeatureExtractor, type FeatureExtractor } from "../../../src/stream/features/index.ts";
import { GOLDEN_NAMES, readGolden } from "./golden.ts";
import { noise, voice } from "./signals.ts";

/** Frames [first, first + count) as [channels, count]. */
function frames(extractor: FeatureExtractor, first: number, count: number): Float32Array {
  const out = new Float32Array(extractor.channels * count);
  extractor.copy(first, count, out, count);
  return out;
}

function pushInChunks(extractor: FeatureExtractor, pcm: Float32Array, chunks: readonly number[]): void {
  let at = 0;
  for (let i = 0; at < pcm.length; i++) {
    const size = chunks[i % chunks.length] ?? 1;
    extractor.push(pcm.subarray(at, at + size));
    at += size;
  }
}

/** The largest difference in frames that both hold, and where it is. */
function difference(
  a: FeatureExtractor,
  b: FeatureExtractor,
): { readonly max: number; readonly where: string } {
  const end = Math.min(a.completed, b.completed);
  const first = Math.max(0, Math.max(a.completed, b.completed) - a.capacity);
  const x = frames(a, first, end - first);
  const y = frames(b, first, end - first);
  const names = featureNames(a.spec);
  let max = 0;
  let where = "";
  x.forEach((value, i) => {
    const error = Math.abs(value - (y[i] ?? Number.NaN));
    if (error <= max) return;
    max = error;
    where = `${names[Math.floor(i / (end - first))]} frame ${first + (i % (end - first))}: ${value} and ${y[i]}`;
  });
  for (let f = first; f < end; f++) max = Math.max(max, Math.abs(a.speechDb(f) - b.speechDb(f)));
  return { max, where };
}

const anySpec: fc.Arbitrary<FeatureSpec> = fc
  .record({
    fftSize: fc.constantFrom(128, 256, 512, 1024, 2048),
    frameShare: fc.double({ min: 0, max: 1, noNaN: true }),
    hopShare: fc.double({ min: 0, max: 1, noNaN: true }),
    melBands: fc.integer({ min: 8, max: 64 }),
    melLowHz: fc.integer({ min: 0, max: 300 }),
    melHighHz: fc.integer({ min: 3000, max: 8000 }),
    mfccShare: fc.double({ min: 0, max: 1, noNaN: true }),
    mfccTopDb: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
    delta: fc.boolean(),
    delta2: fc.boolean(),
    deltaWidth: fc.constantFrom(3, 5, 7, 9, 11, 13, 15),
    logMel: fc.boolean(),
    chroma: fc.constantFrom(0 as const, 12 as const),
    humHz: fc.option(fc.integer({ min: 0, max: 1_000 }), { nil: undefined }),
    logEnergy: fc.boolean(),
  })
  .map(({ frameShare, hopShare, mfccShare, ...rest }) => {
    const frameLength = Math.round(64 + frameShare * (rest.fftSize - 64));
    return {
      ...DEFAULT_FEATURE_SPEC,
      ...rest,
      frameLength,
      hopLength: Math.round(16 + hopShare * (frameLength - 16)),
      mfcc: Math.max(1, Math.round(mfccShare * rest.melBands)),
    };
  });

test.each(GOLDEN_NAMES)("the kernel agrees with the reference to 5e-3 dB on '%s'", (name) => {
  const { pcm, ...golden } = readGolden(name);
  const spec = { ...golden.spec, logMel: false };
  const fast = createFeatureExtractor(spec, { maxHoldFrames: 0 });
  const reference = createFeatureExtractor(spec, { implementation: "reference" });

  fast.push(pcm);
  reference.push(pcm);

  expect(fast.completed).toBe(reference.completed);
  const { max, where } = difference(fast, reference);
  expect(max, where).toBeLessThan(5e-3);
  fast.close();
});

test("the kernel agrees with the reference to 1.5e-2 dB for 60 random specs, noises, chunkings and holds", () => {
  fc.assert(
    fc.property(
      anySpec,
      fc.integer({ min: 1, max: 1e9 }),
      fc.double({ min: 1e-4, max: 1, noNaN: true }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 16, max: 40 }),
      (spec, seed, level, chunks, maxHoldFrames, capacityFrames) => {
        const pcm = noise(spec.frameLength + 50 * spec.hopLength, seed).map((x) => x * level);
        const fast = createFeatureExtractor(spec, { maxHoldFrames, capacityFrames });
        const reference = createFeatureExtractor(spec, { implementation: "reference", capacityFrames });

        pushInChunks(fast, pcm, chunks);
        reference.push(pcm);

        expect(reference.completed - fast.completed).toBeLessThanOrEqual(maxHoldFrames);
        const { max, where } = difference(fast, reference);
        // Second derivatives over 3 frames make 2.4 times as much of rounding to 16 bits.
        expect(max, where).toBeLessThan(1.5e-2);
        fast.close();
      },
    ),
    { numRuns: 60 },
  );
});

test("the kernel agrees with the reference to 5e-3 dB on 12 voices from −40 dB to full scale, log-mel included", () => {
  const spec = { ...DEFAULT_FEATURE_SPEC, logMel: true };
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1e6 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (seed, level) => {
        const pcm = voice(16_000, seed, level);
        const fast = createFeatureExtractor(spec);
        const reference = createFeatureExtractor(spec, { implementation: "reference" });

        pushInChunks(fast, pcm, [320]);
        reference.push(pcm);

        const { max, where } = difference(fast, reference);
        expect(max, where).toBeLessThan(5e-3);
        fast.close();
      },
    ),
    { numRuns: 12 },
  );
});

test("bands, chroma and energy agree with the reference to 1.3e-3 dB on 20 voices: 16 bits take 1e-3", () => {
  const spec = { ...DEFAULT_FEATURE_SPEC, logMel: true };
  for (let seed = 1; seed <= 20; seed++) {
    const pcm = voice(16_000, seed);
    const fast = createFeatureExtractor(spec);
    const reference = createFeatureExtractor(spec, { implementation: "reference" });
    fast.push(pcm);
    reference.push(pcm);
    const [x, y] = [frames(fast, 0, 80), frames(reference, 0, 80)];

    const worst = x
      .subarray(72 * 80)
      .reduce((max, value, i) => Math.max(max, Math.abs(value - (y[72 * 80 + i] ?? 0))), 0);

    expect(worst).toBeLessThan(1.3e-3);
    fast.close();
  }
});

test("a frame reads the same to the bit with whichever others it is read, at 60 places of rings of 16–40 frames", () => {
  fc.assert(
    fc.property(
      anySpec,
      fc.integer({ min: 16, max: 40 }),
      fc.integer({ min: 0, max: 120 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (spec, capacityFrames, extra, at, share) => {
        const extractor = createFeatureExtractor(spec, { capacityFrames });
        extractor.push(noise(spec.frameLength + (20 + extra) * spec.hopLength, 5));
        const held = Math.min(capacityFrames, extractor.completed);
        const oldest = extractor.completed - held;
        const skipped = Math.floor(at * (held - 1));
        const count = 1 + Math.floor(share * (held - skipped - 1));

        const whole = frames(extractor, oldest, held);
        const part = frames(extractor, oldest + skipped, count);

        for (let c = 0; c < extractor.channels; c++) {
          const want = whole.subarray(c * held + skipped, c * held + skipped + count);
          expect(part.subarray(c * count, (c + 1) * count)).toEqual(want);
        }
        extractor.close();
      },
    ),
    { numRuns: 60 },
  );
});

test("chunk sizes and maxHoldFrames 0–3 change no bit of a frame", () => {
  const pcm = voice(20_000, 7);
  const whole = createFeatureExtractor(DEFAULT_FEATURE_SPEC);
  whole.push(pcm);
  const want = frames(whole, 0, whole.completed);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 2500 }), { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 0, max: 3 }),
      (chunks, maxHoldFrames) => {
        const split = createFeatureExtractor(DEFAULT_FEATURE_SPEC, { maxHoldFrames });
        pushInChunks(split, pcm, chunks);
        expect(frames(split, 0, whole.completed)).toEqual(want);
        split.close();
      },
    ),
    { numRuns: 30 },
  );
  whole.close();
});

test("pushes of 20 ms wait for at most 3 frames by default and for none with maxHoldFrames 0", () => {
  const pcm = noise(16_000, 3);
  const lazy = createFeatureExtractor(DEFAULT_FEATURE_SPEC);
  const eager = createFeatureExtractor(DEFAULT_FEATURE_SPEC, { maxHoldFrames: 0 });
  const reference = createFeatureExtractor(DEFAULT_FEATURE_SPEC, { implementation: "reference" });
  let longestWait = 0;
  for (let at = 0; at < pcm.length; at += 320) {
    const packet = pcm.subarray(at, at + 320);

    const ready = reference.push(packet);

    expect(eager.push(packet)).toBe(ready);
    longestWait = Math.max(longestWait, ready - lazy.push(packet));
  }
  expect(longestWait).toBe(2);
  lazy.close();
  eager.close();
});

test("the energy channel is right to 1e-4 dB from full scale to the floor of −100 dB", () => {
  const spec = { ...DEFAULT_FEATURE_SPEC, delta: false, delta2: false };
  const fast = createFeatureExtractor(spec, { maxHoldFrames: 0, capacityFrames: 400 });
  const energy = featureNames(spec).indexOf("energy");
  const first = new Float32Array(featureNames(spec).length);
  const energyOf = (samples: Float32Array): number => {
    fast.reset();
    fast.push(samples);
    fast.copy(0, 1, first, 1);
    return first[energy] ?? 0;
  };
  for (let tenths = 0; tenths <= 1000; tenths += 3) {
    const samples = new Float32Array(400 + 4 * 160).fill(10 ** (-tenths / 200));
    expect(Math.abs(energyOf(samples) + tenths / 10)).toBeLessThan(1e-4);
  }
  expect(energyOf(new Float32Array(400 + 4 * 160))).toBeCloseTo(-100, 4);
  fast.close();
});

test("a 1 kHz voice at −23 dB counts in full, hum of 50 Hz at −9 dB counts 50 dB less", () => {
  const tone = (hz: number, amplitude: number): Float32Array =>
    Float32Array.from({ length: 4000 }, (_, n) => amplitude * Math.sin((2 * Math.PI * hz * n) / 16_000));
  for (const implementation of ["fast", "reference"] as const) {
    const extractor = createFeatureExtractor(DEFAULT_FEATURE_SPEC, { implementation });
    extractor.push(tone(1000, 0.1));
    expect(extractor.speechDb(5)).toBeCloseTo(-23.01, 1);
    extractor.reset();
    extractor.push(tone(50, 0.5));
    expect(extractor.speechDb(5)).toBeLessThan(-59);
    extractor.close();
  }
});

test("the worst case of float32, a full-scale sine, is off by at most 3e-2 dB in bands 130 dB below it", () => {
  const spec = { ...DEFAULT_FEATURE_SPEC, logMel: true };
  const sine = Float32Array.from({ length: 8000 }, (_, n) => Math.sin((2 * Math.PI * 440 * n) / 16_000));
  const fast = createFeatureExtractor(spec);
  const reference = createFeatureExtractor(spec, { implementation: "reference" });

  fast.push(sine);
  reference.push(sine);

  const { max, where } = difference(fast, reference);
  expect(max, where).toBeLessThan(3e-2);
  fast.close();
});

test("digital silence gives −100 dB, 0 chroma and 0 derivatives, never NaN", () => {
  const spec = { ...DEFAULT_FEATURE_SPEC, logMel: true };
  const fast = createFeatureExtractor(spec);
  const reference = createFeatureExtractor(spec, { implementation: "reference" });

  fast.push(new Float32Array(8000));
  reference.push(new Float32Array(8000));

  const { max, where } = difference(fast, reference);
  expect(max, where).toBeLessThan(2e-3);
  expect(frames(fast, 0, 10).every(Number.isFinite)).toBe(true);
  fast.close();
});

test("frames read twice are the same, and after a reset, a wipe or another participant's turn 0 of the former ones show", () => {
  const [a, b] = [createFeatureExtractor(DEFAULT_FEATURE_SPEC), createFeatureExtractor(DEFAULT_FEATURE_SPEC)];
  a.push(voice(8_000, 1));
  b.push(voice(8_000, 2));
  const first = frames(a, 0, 20);
  expect(frames(a, 0, 20)).toEqual(first);

  const other = frames(b, 0, 20);

  expect(other).not.toEqual(first);
  expect(frames(a, 0, 20)).toEqual(first);
  a.reset();
  a.push(voice(8_000, 2));
  expect(frames(a, 0, 20)).toEqual(other);
  a.wipe();
  a.push(voice(8_000, 1));
  expect(frames(a, 0, 20)).toEqual(first);
  for (const extractor of [a, b]) extractor.close();
});
