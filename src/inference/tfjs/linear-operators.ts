/** Convolutions, matrix products and normalisation. */
import { BATCH } from "./known-values.ts";
import { type Live, type LiveValues, product } from "./live-values.ts";
import { listAttribute, numberAttribute, type OnnxNode } from "./onnx-file.ts";
import { flag, integer, integers, word, words } from "./tf-graph.ts";

/** @param relu whether a Relu follows that is computed with it */
export function conv(c: LiveValues, node: OnnxNode, relu: boolean): Live {
  const x = c.operand(node, 0);
  const weights = c.constant(node, 1);
  const bias = c.constant(node, 2);
  const [batch = BATCH, channels = 0, height = 0, width = 0] = x.shape;
  const [out = 0, perGroup = 0, kh = 0, kw = 0] = weights?.shape ?? [];
  if (weights?.shape.length !== 4 || x.shape.length !== 4)
    c.refuse(node, "only two-dimensional ones are known");
  const group = numberAttribute(node, "group", 1);
  const depthwise = group > 1 && perGroup === 1 && group === channels;
  if (group > 1 && !depthwise) c.refuse(node, `${group} groups of ${perGroup} channels are not known`);
  const [strideH = 1, strideW = 1] = listAttribute(node, "strides", [1, 1]);
  const [dilationH = 1, dilationW = 1] = listAttribute(node, "dilations", [1, 1]);
  const [top = 0, left = 0, bottom = 0, right = 0] = listAttribute(node, "pads", [0, 0, 0, 0]);
  if ((node.attributes.get("auto_pad") ?? "NOTSET") !== "NOTSET") c.refuse(node, "auto_pad is not known");
  const padded = top + left + bottom + right > 0;
  const attributes = {
    strides: integers([1, strideH, strideW, 1]),
    dilations: integers([1, dilationH, dilationW, 1]),
    data_format: word("NHWC"),
    padding: word(padded ? "EXPLICIT" : "VALID"),
    ...(padded ? { explicit_paddings: integers([0, 0, top, bottom, left, right, 0, 0]) } : {}),
    num_args: integer(1),
    fused_ops: words(relu ? ["BiasAdd", "Relu"] : ["BiasAdd"]),
  };
  // TensorFlow's kernels are [height, width, in, out]; depthwise ones [height, width, in, multiplier].
  const kernel = permute(Float32Array.from(weights.data), weights.shape, [2, 3, 1, 0]);
  const kernelShape = depthwise ? [kh, kw, channels, out / channels] : [kh, kw, perGroup, out];
  const result = c.graph.add(
    depthwise ? "FusedDepthwiseConv2dNative" : "_FusedConv2D",
    [
      c.in("last", x),
      c.graph.floats(kernel, kernelShape),
      c.graph.floats(bias === undefined ? new Float32Array(out) : Float32Array.from(bias.data), [out]),
    ],
    attributes,
  );
  const size = (
    given: number,
    before: number,
    after: number,
    kernelSize: number,
    dilation: number,
    stride: number,
  ) => Math.floor((given + before + after - dilation * (kernelSize - 1) - 1) / stride) + 1;
  const shape = [
    batch,
    out,
    size(height, top, bottom, kh, dilationH, strideH),
    size(width, left, right, kw, dilationW, strideW),
  ];
  return c.made(shape, "last", result);
}

export function gemm(c: LiveValues, node: OnnxNode): Live {
  if (numberAttribute(node, "alpha", 1) !== 1 || numberAttribute(node, "beta", 1) !== 1)
    c.refuse(node, "alpha and beta must be 1");
  const [a, b] = [c.operand(node, 0), c.operand(node, 1)];
  const [transA, transB] = [
    numberAttribute(node, "transA", 0) === 1,
    numberAttribute(node, "transB", 0) === 1,
  ];
  const product = c.graph.add("MatMul", [c.in("plain", a), c.in("plain", b)], {
    transpose_a: flag(transA),
    transpose_b: flag(transB),
  });
  const made = c.made([a.shape[transA ? 1 : 0] ?? BATCH, b.shape[transB ? 0 : 1] ?? 0], "plain", product);
  return (node.inputs[2] ?? "") === "" ? made : c.binary("AddV2", made, c.operand(node, 2));
}

export function matMul(c: LiveValues, node: OnnxNode): Live {
  const [a, b] = [c.operand(node, 0), c.operand(node, 1)];
  const flat = a.shape.length === 2 && b.shape.length === 2;
  if (!flat && a.shape.length !== b.shape.length) c.refuse(node, "operands of different rank are not known");
  const op = flat ? "MatMul" : "BatchMatMulV2";
  const result = c.graph.add(op, [c.in("plain", a), c.in("plain", b)]);
  return c.made([...a.shape.slice(0, -1), b.shape.at(-1) ?? 0], "plain", result);
}

/** y = scale · (x − mean) / √(variance + ε) + shift is one factor and one summand a channel. */
export function batchNorm(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const [scale, shift, mean, variance] = [1, 2, 3, 4].map((i) => c.constant(node, i)?.data ?? []);
  const epsilon = numberAttribute(node, "epsilon", 1e-5);
  const factor = Float32Array.from(
    scale ?? [],
    (value, c) => value / Math.sqrt((variance?.[c] ?? 0) + epsilon),
  );
  const summand = factor.map((value, c) => (shift?.[c] ?? 0) - value * (mean?.[c] ?? 0));
  const shape = x.shape.map((_, axis) => (axis === 1 ? factor.length : 1));
  const constant = (data: Float32Array): Live => c.made(shape, "plain", c.graph.floats(data, shape));
  return c.binary("AddV2", c.binary("Mul", x, constant(factor)), constant(summand));
}

/** Numbers of a tensor in the order of other axes. */
function permute(data: Float32Array, shape: readonly number[], axes: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  const sizes = axes.map((axis) => shape[axis] ?? 1);
  const result = new Float32Array(data.length);
  const index = sizes.map(() => 0);
  for (let i = 0; i < result.length; i++) {
    let from = 0;
    for (const [at, axis] of axes.entries()) from += (index[at] ?? 0) * (strides[axis] ?? 0);
    result[i] = data[from] ?? 0;
    for (let at = index.length - 1; at >= 0; at--) {
      index[at] = (index[at] ?? 0) + 1;
      if ((index[at] ?? 0) < (sizes[at] ?? 1)) break;
      index[at] = 0;
    }
  }
  return result;
}
