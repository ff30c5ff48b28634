/**
 * The network of "Toward Efficient Speech Emotion Recognition via Spectral Learning and Attention" (arXiv 2507.03251) as
 * an ONNX file with made-up weights: 2,376 steps of one channel, 39 M parameters, 1.1 G multiply-adds a window. What it
 * costs does not depend on the weights.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ModelManifest } from "../src/core/model.ts";
import { defaultModelDir, loadModelPackage, type ModelPackage } from "../src/inference/index.ts";
import { ProtoWriter } from "../src/inference/protobuf.ts";

const STEPS = 2_376;
const WIDTH = 256;
const KERNEL = 7;
const REDUCED = WIDTH / 16;
const HIDDEN = 64;
const LABELS = 7;
/** Two convolutions without padding. */
const LEFT = STEPS - 2 * (KERNEL - 1);
const FILE = fileURLToPath(new URL("../.cache/paper-network.onnx", import.meta.url));

/** Multiply-adds of its convolutions and dense layers for one window. */
export const PAPER_MULTIPLY_ADDS =
  (STEPS - KERNEL + 1) * KERNEL * WIDTH +
  LEFT * KERNEL * WIDTH * WIDTH +
  LEFT * WIDTH * HIDDEN +
  LEFT * 2 * KERNEL;

/** Written once, 157 MB, into .cache. */
export async function paperNetwork(): Promise<ModelPackage> {
  if (!existsSync(FILE)) {
    await mkdir(dirname(FILE), { recursive: true });
    await writeFile(`${FILE}.new`, graph());
    await rename(`${FILE}.new`, FILE);
  }
  const { manifest } = await loadModelPackage(defaultModelDir());
  const paper: ModelManifest = {
    ...manifest,
    name: "paper-2507-03251",
    version: "0.0.0",
    // One channel, as many frames as the paper has steps.
    features: {
      ...manifest.features,
      mfcc: 0,
      delta: false,
      delta2: false,
      logMel: false,
      chroma: 0,
      logEnergy: true,
    },
    window: { frames: STEPS, minFrames: 1 },
    tensors: { features: "features", mask: "mask", logits: "logits" },
  };
  return { manifest: paper, onnxPath: FILE, id: `${paper.name}@${paper.version}` };
}

const FLOAT = 1;
const INTS = 7;
const INT = 2;

function graph(): Buffer {
  const nodes: ProtoWriter[] = [];
  const weights: ProtoWriter[] = [];
  let seed = 1;
  const weight = (name: string, shape: readonly number[], scale: number, offset = 0): string => {
    const data = new Float32Array(shape.reduce((size, dim) => size * dim, 1));
    for (let i = 0; i < data.length; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
      data[i] = offset + (scale * seed) / 2 ** 31;
    }
    weights.push(
      new ProtoWriter()
        .integers(1, shape)
        .integer(2, FLOAT)
        .text(8, name)
        .bytes(9, new Uint8Array(data.buffer)),
    );
    return name;
  };
  const add = (
    op: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, number | readonly number[]>> = {},
  ): string => {
    const node = new ProtoWriter();
    for (const input of inputs) node.text(1, input);
    node.text(2, output).text(3, output).text(4, op);
    for (const [name, value] of Object.entries(attributes)) {
      const attribute = new ProtoWriter().text(1, name);
      if (typeof value === "number") attribute.integer(3, value).integer(20, INT);
      else attribute.integers(8, value).integer(20, INTS);
      node.message(5, attribute);
    }
    nodes.push(node);
    return output;
  };
  const norm = (x: string, name: string, size: number): string =>
    add(
      "BatchNormalization",
      [
        x,
        weight(`${name}.scale`, [size], 0.1, 1),
        weight(`${name}.shift`, [size], 0.1),
        weight(`${name}.mean`, [size], 0.1),
        weight(`${name}.variance`, [size], 0.1, 1),
      ],
      name,
    );
  const conv = (
    x: string,
    name: string,
    from: number,
    to: number,
    kernel: number,
    pad: number,
    bias: boolean,
  ): string =>
    add(
      "Conv",
      [
        x,
        weight(`${name}.weight`, [to, from, 1, kernel], Math.sqrt(2 / (from * kernel))),
        ...(bias ? [weight(`${name}.bias`, [to], 0.01)] : []),
      ],
      name,
      { kernel_shape: [1, kernel], pads: [0, pad, 0, pad], strides: [1, 1], dilations: [1, 1], group: 1 },
    );

  let x = add("Mul", ["features", "mask"], "valid");
  x = norm(add("Relu", [conv(x, "conv1", 1, WIDTH, KERNEL, 0, true)], "relu1"), "norm1", WIDTH);
  x = norm(add("Relu", [conv(x, "conv2", WIDTH, WIDTH, KERNEL, 0, true)], "relu2"), "norm2", WIDTH);
  // Channel attention: one shared MLP on the mean and the maximum over time.
  weight("squeeze.weight", [REDUCED, WIDTH, 1, 1], 0.1);
  weight("excite.weight", [WIDTH, REDUCED, 1, 1], 0.3);
  const gates = ["ReduceMean", "ReduceMax"].map((op) => {
    const pooled = add(op, [x], `${op}.time`, { axes: [3], keepdims: 1 });
    const squeezed = add("Relu", [add("Conv", [pooled, "squeeze.weight"], `${op}.squeezed`)], `${op}.active`);
    return add("Conv", [squeezed, "excite.weight"], `${op}.excited`);
  });
  x = add("Mul", [x, add("Sigmoid", [add("Add", gates, "gates")], "channel")], "channelled");
  // Spatial attention: mean and maximum over channels, a convolution over time.
  const summary = ["ReduceMean", "ReduceMax"].map((op) =>
    add(op, [x], `${op}.channels`, { axes: [1], keepdims: 1 }),
  );
  const spatial = conv(
    add("Concat", summary, "summary", { axis: 1 }),
    "spatial",
    2,
    1,
    KERNEL,
    (KERNEL - 1) / 2,
    false,
  );
  x = add("Flatten", [add("Mul", [x, add("Sigmoid", [spatial], "where")], "attended")], "flat", { axis: 1 });
  const dense = (input: string, name: string, from: number, to: number): string =>
    add(
      "Gemm",
      [input, weight(`${name}.weight`, [from, to], 2 / Math.sqrt(from)), weight(`${name}.bias`, [to], 0.01)],
      name,
    );
  x = norm(add("Relu", [dense(x, "dense", LEFT * WIDTH, HIDDEN)], "hidden"), "norm3", HIDDEN);
  add("Identity", [dense(x, "classify", HIDDEN, LABELS)], "logits");

  const value = (name: string, dims: readonly (number | string)[]): ProtoWriter => {
    const shape = new ProtoWriter();
    for (const dim of dims) {
      shape.message(
        1,
        typeof dim === "number" ? new ProtoWriter().integer(1, dim) : new ProtoWriter().text(2, dim),
      );
    }
    const tensor = new ProtoWriter().integer(1, FLOAT).message(2, shape);
    return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
  };
  const content = new ProtoWriter();
  for (const node of nodes) content.message(1, node);
  content.text(2, "paper");
  for (const tensor of weights) content.message(5, tensor);
  content.message(11, value("features", ["N", 1, 1, STEPS]));
  content.message(11, value("mask", ["N", 1, 1, STEPS]));
  content.message(12, value("logits", ["N", LABELS]));
  const opset = new ProtoWriter().integer(2, 17);
  return new ProtoWriter().integer(1, 8).message(7, content).message(8, opset).finish();
}
