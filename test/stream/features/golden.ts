/** Reads the golden vectors that training/golden/make_golden.py wrote. */
import { readFileSync } from "node:fs";
import { type FeatureSpec, featureNames } from "../../../src/core/feature-spec.ts";

export const GOLDEN_NAMES = ["chirp", "vowels", "speech", "other-spec"] as const;

export interface Golden {
  readonly spec: FeatureSpec;
  readonly frames: number;
  /** Mono, 16 kHz. */
  readonly pcm: Float32Array;
  /** [channels, frames], channels in the order of featureNames(spec). */
  readonly features: Float32Array;
  readonly names: readonly string[];
}

interface GoldenFile {
  readonly spec: FeatureSpec;
  readonly frames: number;
  readonly pcm: string;
  readonly features: Readonly<Record<"mfcc" | "delta" | "delta2" | "mel" | "chroma" | "energy", string>>;
}

const bytesOf = (base64: string): ArrayBuffer => new Uint8Array(Buffer.from(base64, "base64")).buffer;

export function readGolden(name: (typeof GOLDEN_NAMES)[number]): Golden {
  const file: GoldenFile = JSON.parse(
    readFileSync(new URL(`./golden/${name}.json`, import.meta.url), "utf8"),
  );
  const { mfcc, delta, delta2, mel, chroma, energy } = file.features;
  const blocks = [mfcc, delta, delta2, mel, chroma, energy].map((text) => new Float32Array(bytesOf(text)));
  const names = featureNames(file.spec);
  const features = new Float32Array(names.length * file.frames);
  let at = 0;
  for (const block of blocks) {
    features.set(block, at);
    at += block.length;
  }
  return {
    spec: file.spec,
    frames: file.frames,
    pcm: Float32Array.from(new Int16Array(bytesOf(file.pcm)), (x) => x / 32768),
    features,
    names,
  };
}
