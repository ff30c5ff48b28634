/** The network of test/fixtures/tiny-streaming in plain TypeScript, from the weights in its files: all frames of a stream at once. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readOnnx } from "../../src/inference/tfjs/onnx-file.ts";

export const TINY_STREAMING_DIR = fileURLToPath(new URL("../fixtures/tiny-streaming/", import.meta.url));

const CHANNELS = 85;
const HIDDEN = 8;
const WIDTH = 6;
const LABELS = 7;
const STRIDE = 5;
const KERNEL = 9;
const STEP_KERNEL = 3;
const STEPS = 60;

export interface TinyNetwork {
  /** @param frames each of C features, from the first of a stream on @returns one embedding a step */
  encode(frames: readonly Float32Array[]): number[][];
  /** Probabilities of a window that ends with the last of these embeddings. */
  judge(embeddings: readonly (readonly number[])[]): number[];
}

export async function tinyNetwork(): Promise<TinyNetwork> {
  const weights = new Map<string, Float32Array>();
  for (const file of ["encoder.onnx", "head.onnx"]) {
    for (const [name, { data }] of readOnnx(await readFile(join(TINY_STREAMING_DIR, file))).weights) {
      weights.set(name, Float32Array.from(data));
    }
  }
  const at = (name: string, index: number): number => weights.get(name)?.[index] ?? Number.NaN;
  return {
    encode(frames) {
      const hidden: number[][] = [];
      for (let step = 0; step * STRIDE < frames.length; step++) {
        hidden.push(
          Array.from({ length: HIDDEN }, (_, h) => {
            let sum = at("first_bias", h);
            for (let k = 0; k < KERNEL; k++) {
              const frame = frames[step * STRIDE + STRIDE - KERNEL + k];
              for (let c = 0; frame !== undefined && c < CHANNELS; c++) {
                sum += (frame[c] ?? 0) * at("first_weight", (h * CHANNELS + c) * KERNEL + k);
              }
            }
            return Math.max(0, sum);
          }),
        );
      }
      return hidden.map((_, step) =>
        Array.from({ length: WIDTH }, (_, e) => {
          let sum = at("second_bias", e);
          for (let k = 0; k < STEP_KERNEL; k++) {
            const before = hidden[step + 1 - STEP_KERNEL + k];
            for (let h = 0; before !== undefined && h < HIDDEN; h++) {
              sum += (before[h] ?? 0) * at("second_weight", (e * HIDDEN + h) * STEP_KERNEL + k);
            }
          }
          return Math.tanh(sum);
        }),
      );
    },
    judge(embeddings) {
      const last = embeddings.slice(-STEPS);
      const shares = softmax(
        last.map((one) => one.reduce((sum, value, e) => sum + value * at("attend", e), 0)),
      );
      const pooled = Array.from({ length: WIDTH }, (_, e) =>
        last.reduce((sum, one, i) => sum + (one[e] ?? 0) * (shares[i] ?? 0), 0),
      );
      return softmax(
        Array.from({ length: LABELS }, (_, label) =>
          pooled.reduce(
            (sum, value, e) => sum + value * at("judge_weight", e * LABELS + label),
            at("judge_bias", label),
          ),
        ),
      );
    },
  };
}

function softmax(values: readonly number[]): number[] {
  const highest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - highest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}
