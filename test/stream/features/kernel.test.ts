import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { buildKernel } from "../../../scripts/build-kernel.ts";
import type { TonetapError } from "../../../src/core/errors.ts";
import { DEFAULT_FEATURE_SPEC } from "../../../src/core/feature-spec.ts";
import { createFeatureExtractor } from "../../../src/stream/features/index.ts";
import { FeatureKernel } from "../../../src/stream/features/kernel.ts";
import { KernelExtractor } from "../../../src/stream/features/kernel-extractor.ts";
import { noise, voice } from "./signals.ts";

test("kernel.wasm is what its sources compile to, byte for byte, and under 10 kB", async () => {
  const committed = readFileSync(new URL("../../../src/stream/features/kernel.wasm", import.meta.url));

  const built = await buildKernel();

  expect(Buffer.compare(committed, built), "run `node scripts/build-kernel.ts` and commit").toBe(0);
  expect(committed.length).toBeLessThan(10_000);
});

test("a participant takes 40,704 bytes at 85 channels and 320 frames", () => {
  expect(new FeatureKernel(DEFAULT_FEATURE_SPEC, 320).plan.slotBytes).toBe(40_704);
});

test("40 participants on one kernel do not disturb each other while its memory grows", () => {
  const voices = Array.from({ length: 40 }, (_, i) => voice(3200, 1000 + i));
  const alone = voices.map((pcm) => {
    const kernel = new FeatureKernel(DEFAULT_FEATURE_SPEC, 320);
    const extractor = new KernelExtractor(kernel, DEFAULT_FEATURE_SPEC, 320, 3);
    extractor.push(pcm);
    const out = new Float32Array(85 * 12);
    extractor.copy(0, 12, out, 12);
    return out;
  });
  const kernel = new FeatureKernel(DEFAULT_FEATURE_SPEC, 320);
  const sizeAtFirst = kernel.floats.length;
  const together = voices.map((pcm) => {
    const extractor = new KernelExtractor(kernel, DEFAULT_FEATURE_SPEC, 320, 3);
    extractor.push(pcm.subarray(0, 1000));
    return extractor;
  });
  for (let at = 1000; at < 3200; at += 320) {
    together.forEach((extractor, i) => {
      extractor.push(voices[i]?.subarray(at, at + 320) ?? new Float32Array(0));
    });
  }

  expect(kernel.floats.length).toBeGreaterThan(sizeAtFirst);
  expect(kernel.slotsInUse).toBe(40);
  together.forEach((extractor, i) => {
    const out = new Float32Array(85 * 12);
    extractor.copy(0, 12, out, 12);
    expect(out).toEqual(alone[i]);
  });
});

test("1,000 participants coming and going, 3 at a time, leave the memory as large as 3 need", () => {
  const kernel = new FeatureKernel(DEFAULT_FEATURE_SPEC, 320);
  const open = (): KernelExtractor => new KernelExtractor(kernel, DEFAULT_FEATURE_SPEC, 320, 3);
  const present = [open(), open(), open()];
  const size = kernel.floats.length;

  for (let i = 0; i < 1000; i++) {
    present.shift()?.close();
    present.push(open());
  }

  expect(kernel.slotsInUse).toBe(3);
  expect(kernel.floats.length).toBe(size);
});

test.each(["wipe", "close"] as const)("%s leaves 0 bytes of audio or features in the kernel", (how) => {
  const kernel = new FeatureKernel(DEFAULT_FEATURE_SPEC, 320);
  const extractor = new KernelExtractor(kernel, DEFAULT_FEATURE_SPEC, 320, 0);
  const used = (): number => kernel.floats.subarray(kernel.plan.workStart / 4).filter((x) => x !== 0).length;
  const completed = extractor.push(noise(48_000, 1));
  extractor.copy(completed - 100, 100, new Float32Array(85 * 100), 100);
  expect(used()).toBeGreaterThan(20_000);

  extractor[how]();

  expect(used()).toBe(0);
  if (how === "wipe") expect(extractor.completed).toBe(0);
});

test("a kernel whose 1 GiB is full refuses with 'overloaded' and goes on serving", () => {
  const kernel = new FeatureKernel(DEFAULT_FEATURE_SPEC, 65_536);
  const fill = (): void => {
    for (;;) kernel.acquire();
  };

  expect(fill).toThrowError(expect.objectContaining({ code: "overloaded", retryable: true }) as TonetapError);

  expect(kernel.slotsInUse).toBe(142);
  expect(kernel.floats.length).toBeLessThanOrEqual(2 ** 28);
});

test("extractors of 2 specs share a thread without touching each other's tables", () => {
  const other = { ...DEFAULT_FEATURE_SPEC, mfcc: 13, melBands: 26, fftSize: 1024, frameLength: 800 };
  const pcm = voice(8000, 3);
  const first = createFeatureExtractor(DEFAULT_FEATURE_SPEC);
  first.push(pcm);
  const want = new Float32Array(85 * 30);
  first.copy(0, 30, want, 30);

  const second = createFeatureExtractor(other);
  second.push(pcm);
  const again = createFeatureExtractor(DEFAULT_FEATURE_SPEC);
  again.push(pcm);

  const got = new Float32Array(85 * 30);
  again.copy(0, 30, got, 30);
  expect(got).toEqual(want);
  for (const extractor of [first, second, again]) extractor.close();
});
