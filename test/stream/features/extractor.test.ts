import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { DEFAULT_FEATURE_SPEC, type FeatureSpec } from "../../../src/core/feature-spec.ts";
import { createFeatureExtractor, type FeatureExtractor } from "../../../src/stream/features/index.ts";
import { noise, voice } from "./signals.ts";

const MEYDA: FeatureSpec = {
  ...DEFAULT_FEATURE_SPEC,
  extractor: "meyda",
  frameLength: 512,
  melLowHz: 0,
  melHighHz: 8000,
};

const kinds: readonly { name: string; open: (capacityFrames: number) => FeatureExtractor }[] = [
  {
    name: "fast",
    open: (capacityFrames) => createFeatureExtractor(DEFAULT_FEATURE_SPEC, { capacityFrames }),
  },
  {
    name: "reference",
    open: (capacityFrames) =>
      createFeatureExtractor(DEFAULT_FEATURE_SPEC, { capacityFrames, implementation: "reference" }),
  },
  { name: "meyda", open: (capacityFrames) => createFeatureExtractor(MEYDA, { capacityFrames }) },
];

function codeOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    return error instanceof TonetapError ? error.code : String(error);
  }
  return "nothing thrown";
}

describe.each(kinds)("the $name extractor", ({ open }) => {
  test("holds its newest 16 frames, and refuses the 17th and those to come", () => {
    const extractor = open(16);
    const completed = extractor.push(noise(16_000, 1));
    const out = new Float32Array(85 * 16);

    extractor.copy(completed - 16, 16, out, 16);

    expect(out.some((x) => x !== 0)).toBe(true);
    expect(codeOf(() => extractor.copy(completed - 17, 1, out, 1))).toBe("invalid-argument");
    expect(codeOf(() => extractor.copy(completed, 1, out, 1))).toBe("invalid-argument");
    expect(codeOf(() => extractor.copy(completed - 1.5, 1, out, 1))).toBe("invalid-argument");
    expect(codeOf(() => extractor.speechDb(completed - 17))).toBe("invalid-argument");
    extractor.close();
  });

  test("copies 5 frames at stride 9 and leaves the other 4 places alone", () => {
    const extractor = open(32);
    const first = extractor.push(noise(16_000, 2)) - 20;
    const tight = new Float32Array(85 * 5);
    const wide = new Float32Array(85 * 9).fill(7);

    extractor.copy(first, 5, tight, 5);
    extractor.copy(first, 5, wide, 9);

    for (let c = 0; c < 85; c++) {
      expect(wide.subarray(c * 9, c * 9 + 5)).toEqual(tight.subarray(c * 5, c * 5 + 5));
      expect([...wide.subarray(c * 9 + 5, c * 9 + 9)]).toEqual([7, 7, 7, 7]);
    }
    expect(codeOf(() => extractor.copy(first, 5, wide, 4))).toBe("invalid-argument");
    expect(codeOf(() => extractor.copy(first, 5, tight.subarray(1), 5))).toBe("invalid-argument");
    extractor.close();
  });

  test("after a reset, frame 0 is the same as in a new extractor, whatever came before", () => {
    const pcm = voice(6000, 5);
    const used = open(64);
    const fresh = open(64);
    used.push(noise(10_123, 9));

    used.reset();

    expect(used.completed).toBe(0);
    expect(used.push(pcm)).toBe(fresh.push(pcm));
    const a = new Float32Array(85 * 20);
    const b = new Float32Array(85 * 20);
    used.copy(0, 20, a, 20);
    fresh.copy(0, 20, b, 20);
    expect(a).toEqual(b);
    used.close();
    fresh.close();
  });

  test("is of no use once closed, and may be closed 2 times", () => {
    const extractor = open(16);
    extractor.close();
    extractor.close();

    expect(codeOf(() => extractor.push(new Float32Array(320)))).toBe("closed");
    expect(codeOf(() => extractor.copy(0, 0, new Float32Array(0), 0))).toBe("closed");
    expect(codeOf(() => extractor.reset())).toBe("closed");
    expect(codeOf(() => extractor.speechDb(0))).toBe("closed");
  });

  test("a straight line has slope 1 a frame: the derivatives of a level rising 1 dB a frame say so", () => {
    const extractor = open(64);
    // exp growth of 1 dB (power) a hop of 160 samples, up to 0.3: every mel band rises 1 dB, so c0 rises √40 dB.
    const pcm = noise(160, 4);
    const rising = Float32Array.from(
      { length: 8_000 },
      (_, n) => 1e-3 * (pcm[n % 160] ?? 0) * 10 ** (n / 160 / 20),
    );
    extractor.push(rising);
    const out = new Float32Array(85 * 20);
    extractor.copy(extractor.completed - 20, 20, out, 20);

    const c0 = out.subarray(0, 20);
    const slope = ((c0[19] ?? 0) - (c0[0] ?? 0)) / 19;
    for (const delta of out.subarray(24 * 20, 25 * 20))
      expect(Math.abs(delta / slope - 1)).toBeLessThan(0.02);
    for (const delta2 of out.subarray(48 * 20, 49 * 20)) expect(Math.abs(delta2 / slope)).toBeLessThan(0.01);
    extractor.close();
  });
});

describe.each(["fast", "reference"] as const)("mfccTopDb, %s", (implementation) => {
  const spec = (mfccTopDb?: number, humHz?: number): FeatureSpec => {
    return { ...DEFAULT_FEATURE_SPEC, logMel: true, mfccTopDb, humHz };
  };
  /** Frames 20–40 of what these samples have, channel by channel. */
  const of = (pcm: Float32Array, mfccTopDb?: number, humHz?: number): Float32Array[] => {
    const extractor = createFeatureExtractor(spec(mfccTopDb, humHz), { implementation });
    extractor.push(pcm);
    const out = new Float32Array(extractor.channels * 20);
    extractor.copy(20, 20, out, 20);
    extractor.close();
    return Array.from({ length: extractor.channels }, (_, c) => out.subarray(20 * c, 20 * (c + 1)));
  };
  const apart = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
    Math.max(...a.flatMap((row, c) => Array.from(row, (x, i) => Math.abs(x - (b[c]?.[i] ?? Number.NaN)))));
  const hum = Float32Array.from(
    { length: 16_000 },
    (_, n) => 0.3 * Math.sin((2 * Math.PI * 300 * n) / 16_000),
  );

  /** The first frames' MFCC by their definition, of these bands and no less than `least` dB each. */
  const cosineTransform = (bands: readonly Float32Array[], k: number, i: number, least: number): number => {
    let sum = 0;
    bands.forEach((band, n) => {
      sum += Math.max(least, band[i] ?? Number.NaN) * Math.cos((Math.PI * k * (2 * n + 1)) / 80);
    });
    return sum * Math.sqrt((k === 0 ? 1 : 2) / 40);
  };

  test.each([
    ["their loudest", undefined, 0],
    ["their loudest that begins above 100 Hz, the 2nd or a later one", 100, 1],
  ])("they are the cosine transform of bands raised to 30 dB below %s", (_, humHz, from) => {
    const pcm = hum.map((x, n) => x / 10 + 0.9 * Math.sin((2 * Math.PI * 50 * n) / 16_000));
    const some = of(pcm, 30, humHz);
    const bands = some.slice(72, 112);
    for (let i = 0; i < 20; i++) {
      const least = Math.max(...bands.slice(from).map((band) => band[i] ?? Number.NaN)) - 30;
      for (let k = 0; k < 24; k++) expect(some[k]?.[i]).toBeCloseTo(cosineTransform(bands, k, i, least), 3);
    }
    expect(apart(some.slice(0, 24), of(pcm, 30, 100 - (humHz ?? 0)).slice(0, 24))).toBeGreaterThan(1);
  });

  test("the other 53 channels are as before; 200 dB are no limit", () => {
    const some = of(hum, 30);
    const whole = of(hum);
    expect(apart(some.slice(72), whole.slice(72))).toBe(0);
    expect(apart(some.slice(0, 24), whole.slice(0, 24))).toBeGreaterThan(10);
    expect(apart(of(hum, 200), whole)).toBe(0);
  });

  test("noise 50 dB below a tone does not move them: by less than 0.5 dB, those of all bands by more than 10", () => {
    const noisy = noise(16_000, 8).map((x, n) => (hum[n] ?? 0) + 1e-3 * x);
    expect(apart(of(hum, 20).slice(0, 24), of(noisy, 20).slice(0, 24))).toBeLessThan(0.5);
    expect(apart(of(hum).slice(0, 24), of(noisy).slice(0, 24))).toBeGreaterThan(10);
  });

  test("0, 201 and NaN dB: 3 refusals by name", () => {
    for (const topDb of [0, 201, Number.NaN]) {
      expect(() => createFeatureExtractor(spec(topDb), { implementation })).toThrow(
        new TonetapError(
          "invalid-argument",
          `features.mfccTopDb must be 1–200 dB, got ${JSON.stringify(topDb)}`,
        ),
      );
    }
  });
});

describe.each(["fast", "reference"] as const)("humHz, %s", (implementation) => {
  const chromaOf = (pcm: Float32Array, humHz?: number): Float32Array => {
    const extractor = createFeatureExtractor(
      { ...DEFAULT_FEATURE_SPEC, mfcc: 0, delta: false, delta2: false, logEnergy: false, humHz },
      { implementation },
    );
    extractor.push(pcm);
    const out = new Float32Array(12);
    extractor.copy(20, 1, out, 1);
    extractor.close();
    return out;
  };
  /** The loudest pitch class: 0 is C, 1 C sharp … */
  const loudest = (chroma: Float32Array): number => chroma.indexOf(Math.max(...chroma));

  test("an A under mains hum 40 dB louder is the hum's G sharp (50 Hz), above 100 Hz it is an A", () => {
    const sine = (hz: number, n: number): number => Math.sin((2 * Math.PI * hz * n) / 16_000);
    const pcm = Float32Array.from({ length: 8_000 }, (_, n) => 0.3 * sine(50, n) + 0.003 * sine(880, n));
    expect(loudest(chromaOf(pcm))).not.toBe(9);
    expect(loudest(chromaOf(pcm, 0))).not.toBe(9);
    expect(loudest(chromaOf(pcm, 100))).toBe(9);
  });

  test("−1, 1001 and NaN Hz: 3 refusals by name", () => {
    for (const hz of [-1, 1_001, Number.NaN]) {
      expect(() => chromaOf(new Float32Array(0), hz)).toThrow(
        new TonetapError("invalid-argument", `features.humHz must be 0–1000 Hz, got ${JSON.stringify(hz)}`),
      );
    }
  });
});

test("options out of range are refused: 15 frames of capacity, 4 held, 16.5 of either", () => {
  for (const options of [{ capacityFrames: 15 }, { maxHoldFrames: 4 }, { capacityFrames: 16.5 }]) {
    expect(codeOf(() => createFeatureExtractor(DEFAULT_FEATURE_SPEC, options))).toBe("invalid-argument");
  }
  expect(codeOf(() => createFeatureExtractor({ ...DEFAULT_FEATURE_SPEC, fftSize: 500 }))).toBe(
    "invalid-argument",
  );
});
