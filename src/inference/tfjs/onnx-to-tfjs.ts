/**
 * Turns an ONNX graph into a TensorFlow.js graph model: the operators that speech networks of one dimension export to.
 * How each is written in TensorFlow's terms is in the files of operators; which order its values are in, live-values.ts.
 */
import { TonetapError } from "../../core/errors.ts";
import { computeKnown, ints } from "./known-values.ts";
import { batchNorm, conv, gemm, matMul } from "./linear-operators.ts";
import { type Live, LiveValues } from "./live-values.ts";
import { numberAttribute, type OnnxGraph, type OnnxNode, type OnnxTensor, readOnnx } from "./onnx-file.ts";
import { BINARY, clip, globalMean, REDUCE, reduce, softmax, UNARY } from "./plain-operators.ts";
import { concat, newShape, slice, tile, transpose } from "./shape-operators.ts";
import { float, type TfModelArtifacts } from "./tf-graph.ts";

/**
 * @param bytes an ONNX file, its first dimension the batch
 * @returns a model whose inputs and outputs have the file's names and shapes
 * @throws TonetapError invalid-argument, naming the operator that is not known
 */
export function onnxToTfjs(bytes: Uint8Array): TfModelArtifacts {
  try {
    return convertGraph(readOnnx(bytes));
  } catch (error) {
    // A damaged file can ask for arrays of any size.
    throw TonetapError.from(error, "invalid-argument", "the ONNX file cannot be converted");
  }
}

function convertGraph(onnx: OnnxGraph): TfModelArtifacts {
  const values = new LiveValues(onnx);
  const fusable = fusableRelus(onnx);
  for (const node of onnx.nodes) {
    const [output = ""] = node.outputs;
    // Already there: a Relu that was computed with the convolution before it.
    if (values.shapeOf(output) !== undefined) continue;
    const known = knownResult(node, values);
    if (known !== undefined) {
      values.setKnown(output, known);
      continue;
    }
    const relu = node.op === "Conv" ? fusable.get(output) : undefined;
    values.set(relu ?? output, convert(node, values, relu !== undefined));
  }
  for (const { name } of onnx.outputs) {
    values.graph.add("Identity", [values.in("plain", values.get(name))], {}, name);
  }
  return values.graph.artifacts();
}

/** Output of a node → output of the Relu that is the only one to read it. */
function fusableRelus({ nodes, outputs }: OnnxGraph): ReadonlyMap<string, string> {
  const readers = new Map<string, OnnxNode[]>();
  for (const node of nodes) {
    for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node]);
  }
  const results = new Set(outputs.map(({ name }) => name));
  const relus = new Map<string, string>();
  for (const [name, [reader, ...others]] of readers) {
    const [output] = reader?.outputs ?? [];
    if (reader?.op === "Relu" && others.length === 0 && output !== undefined && !results.has(name)) {
      relus.set(name, output);
    }
  }
  return relus;
}

function knownResult(node: OnnxNode, values: LiveValues): OnnxTensor | undefined {
  if (node.op === "Shape") return ints(values.shapeOf(node.inputs[0] ?? "") ?? []);
  return computeKnown(
    node,
    node.inputs.map((name) => values.known(name)),
  );
}

function convert(node: OnnxNode, c: LiveValues, relu: boolean): Live {
  const { op } = node;
  const unary = UNARY[op];
  if (unary !== undefined) return c.unary(node, unary);
  const binary = BINARY[op];
  if (binary !== undefined) return c.binary(binary, c.operand(node, 0), c.operand(node, 1));
  const reduction = REDUCE[op];
  if (reduction !== undefined) return reduce(c, node, reduction);
  switch (op) {
    case "Conv":
      return conv(c, node, relu);
    case "Gemm":
      return gemm(c, node);
    case "MatMul":
      return matMul(c, node);
    case "BatchNormalization":
      return batchNorm(c, node);
    case "Clip":
      return clip(c, node);
    case "LeakyRelu":
      return c.unary(node, "LeakyRelu", { alpha: float(numberAttribute(node, "alpha", 0.01)) });
    case "Identity":
    case "Dropout":
      return c.operand(node, 0);
    case "Concat":
      return concat(c, node);
    case "Softmax":
      return softmax(c, node);
    case "Slice":
      return slice(c, node);
    case "GlobalAveragePool":
      return globalMean(c, node);
    case "Flatten":
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
      return c.reshape(c.operand(node, 0), newShape(c, node));
    case "Transpose":
      return transpose(c, node);
    case "Tile":
      return tile(c, node);
    default:
      return c.refuse(node, `the operator ${op} is not known`);
  }
}
