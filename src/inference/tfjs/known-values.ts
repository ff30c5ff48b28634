/**
 * Computes what of an ONNX graph is known before it runs: the arithmetic on shapes that exporters leave in it.
 * A dimension that is the batch's is NaN: whatever is computed from it is unknown too.
 */
import type { OnnxNode, OnnxTensor } from "./onnx-file.ts";

/** The size of the batch, where a shape or a number stands for it. */
export const BATCH = Number.NaN;

/** @returns undefined for an operator that is not computed here, or an argument that is not known */
export function computeKnown(
  node: OnnxNode,
  inputs: readonly (OnnxTensor | undefined)[],
): OnnxTensor | undefined {
  const [first] = inputs;
  if (node.op === "Constant") return constant(node);
  if (first === undefined || inputs.some((input) => input === undefined)) return undefined;
  // Float constants are the graph's own: they become weights.
  if (first.type !== "int64") return undefined;
  const known = inputs as readonly OnnxTensor[];
  const data = [...first.data];
  switch (node.op) {
    case "Identity":
      return first;
    // To integers; a cast to float would be a weight.
    case "Cast":
      return node.attributes.get("to") === 7 || node.attributes.get("to") === 6 ? first : undefined;
    case "Gather": {
      const indices = [...(known[1]?.data ?? [])].map((index) => data.at(index) ?? BATCH);
      return first.shape.length === 1 ? ints(indices, known[1]?.shape ?? []) : undefined;
    }
    case "Concat":
      return ints(known.flatMap((one) => [...one.data]));
    case "Slice": {
      const [, starts, ends, , steps] = known.map((one) => [...one.data]);
      if (first.shape.length !== 1 || (steps?.[0] ?? 1) !== 1) return undefined;
      return ints(data.slice(starts?.[0] ?? 0, ends?.[0] ?? data.length));
    }
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
      return reshaped(node.op, data, known);
    case "OneHot": {
      const [depth = 0] = known[1]?.data ?? [];
      const [off = 0, on = 1] = known[2]?.data ?? [];
      // As many as a tensor may have dimensions.
      if (depth > 64) return undefined;
      const hot = data.flatMap((index) => Array.from({ length: depth }, (_, i) => (i === index ? on : off)));
      return ints(hot, [...first.shape, depth]);
    }
    case "Add":
    case "Sub":
    case "Mul":
    case "Div":
      return arithmetic(node.op, first, known[1]);
    default:
      return undefined;
  }
}

export const ints = (data: readonly number[], shape: readonly number[] = [data.length]): OnnxTensor => ({
  type: "int64",
  shape,
  data,
});

function constant({ attributes }: OnnxNode): OnnxTensor | undefined {
  const value = attributes.get("value");
  return typeof value === "object" && "type" in value ? value : undefined;
}

/** Numbers of shapes are lists or single: all that changes is which. */
function reshaped(op: string, data: readonly number[], [, target]: readonly OnnxTensor[]): OnnxTensor {
  const single = op === "Squeeze" || (op === "Reshape" && target?.data.length === 0);
  return ints(data, single && data.length === 1 ? [] : [data.length]);
}

function arithmetic(op: string, a: OnnxTensor, b: OnnxTensor | undefined): OnnxTensor | undefined {
  if (b === undefined || b.type !== "int64") return undefined;
  const length = Math.max(a.data.length, b.data.length);
  const at = ({ data }: OnnxTensor, i: number): number => data[data.length === 1 ? 0 : i] ?? BATCH;
  const numbers = Array.from({ length }, (_, i) => {
    const [x, y] = [at(a, i), at(b, i)];
    if (op === "Add") return x + y;
    if (op === "Sub") return x - y;
    // ONNX divides integers towards zero.
    return op === "Mul" ? x * y : Math.trunc(x / y);
  });
  return ints(numbers, a.data.length >= b.data.length ? a.shape : b.shape);
}
