/** Operators on each number, and over axes. */
import { LAST_AXIS, type Live, type LiveValues } from "./live-values.ts";
import { isList, numberAttribute, type OnnxNode } from "./onnx-file.ts";
import { flag, intType } from "./tf-graph.ts";

export const UNARY: Readonly<Record<string, string>> = {
  Relu: "Relu",
  Sigmoid: "Sigmoid",
  Tanh: "Tanh",
  Sqrt: "Sqrt",
  Exp: "Exp",
  Log: "Log",
  Abs: "Abs",
  Neg: "Neg",
  Reciprocal: "Reciprocal",
  Softplus: "Softplus",
  Erf: "Erf",
};
export const BINARY: Readonly<Record<string, string>> = {
  Add: "AddV2",
  Sub: "Sub",
  Mul: "Mul",
  Div: "RealDiv",
  Pow: "Pow",
  Max: "Maximum",
  Min: "Minimum",
};
export const REDUCE: Readonly<Record<string, string>> = {
  ReduceSum: "Sum",
  ReduceMean: "Mean",
  ReduceMax: "Max",
  ReduceMin: "Min",
};

export function reduce(c: LiveValues, node: OnnxNode, op: string): Live {
  const x = c.operand(node, 0);
  const given = node.attributes.get("axes") ?? c.constant(node, 1)?.data;
  const axes = isList(given) ? [...given] : x.shape.map((_, axis) => axis);
  return reduced(c, x, op, axes, numberAttribute(node, "keepdims", 1) === 1);
}

function reduced(c: LiveValues, x: Live, op: string, axes: readonly number[], keep: boolean): Live {
  const positive = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  const order = keep ? c.common([x]) : "plain";
  const mapped = order === "last" ? positive.map((axis) => LAST_AXIS[axis] ?? axis) : positive;
  const node = c.graph.add(op, [c.in(order, x), c.graph.ints(mapped)], {
    keep_dims: flag(keep),
    Tidx: intType,
  });
  const shape = x.shape.flatMap((size, axis) => (positive.includes(axis) ? (keep ? 1 : []) : size));
  return c.made(shape, order, node);
}

/** TensorFlow's is over the last axis. */
export function softmax(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const rank = x.shape.length;
  const axis = (numberAttribute(node, "axis", -1) + rank) % rank;
  const order = rank === 4 && axis === 1 ? "last" : "plain";
  if (order === "plain" && axis !== rank - 1) c.refuse(node, `axis ${axis} of ${rank} is not known`);
  if (c.opset < 13 && axis !== rank - 1) c.refuse(node, "before opset 13 only the last axis is known");
  return c.made(x.shape, order, c.graph.add("Softmax", [c.in(order, x)]));
}

export function clip(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const order = c.common([x]);
  const [low] = c.constant(node, 1)?.data ?? [];
  const [high] = c.constant(node, 2)?.data ?? [];
  const floor =
    low === undefined ? c.in(order, x) : c.graph.add("Maximum", [c.in(order, x), c.graph.scalar(low)]);
  const node2 = high === undefined ? floor : c.graph.add("Minimum", [floor, c.graph.scalar(high)]);
  return c.made(x.shape, order, node2);
}

export function globalMean(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const axes = x.shape.slice(2).map((_, i) => i + 2);
  return reduced(c, x, "Mean", axes, true);
}
