/** Operators that only move numbers: join, cut, reshape, repeat. */
import { BATCH } from "./known-values.ts";
import { LAST_AXIS, type Live, type LiveValues, ordered, product } from "./live-values.ts";
import { isList, listAttribute, numberAttribute, type OnnxNode } from "./onnx-file.ts";
import { integer, intType } from "./tf-graph.ts";

export function concat(c: LiveValues, node: OnnxNode): Live {
  const parts = node.inputs.map((_, i) => c.operand(node, i));
  const rank = parts[0]?.shape.length ?? 0;
  const axis = (numberAttribute(node, "axis", 0) + rank) % rank;
  const order = rank === 4 ? c.common(parts) : "plain";
  const at = order === "last" ? (LAST_AXIS[axis] ?? axis) : axis;
  const result = c.graph.add(
    "ConcatV2",
    [...parts.map((part) => c.in(order, part)), c.graph.ints([at], [])],
    { N: integer(parts.length), Tidx: intType },
  );
  const total = parts.reduce((sum, { shape }) => sum + (shape[axis] ?? 0), 0);
  return c.made((parts[0]?.shape ?? []).with(axis, total), order, result);
}

export function slice(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => c.constant(node, i)?.data);
  const order = c.common([x]);
  const begin = x.shape.map(() => 0);
  const end = x.shape.map((size) => (Number.isNaN(size) ? 0 : size));
  const stride = x.shape.map(() => 1);
  const shape = [...x.shape];
  for (const [i, start] of (starts ?? []).entries()) {
    const axis = ((axes?.[i] ?? i) + shape.length) % shape.length;
    const size = shape[axis] ?? 0;
    const step = steps?.[i] ?? 1;
    if (Number.isNaN(size) || step < 1) c.refuse(node, "only forward slices of other axes than the batch");
    const clamp = (at: number): number => Math.max(0, Math.min(size, at < 0 ? at + size : at));
    const [from, to] = [clamp(start), clamp(ends?.[i] ?? size)];
    begin[axis] = from;
    end[axis] = to;
    stride[axis] = step;
    shape[axis] = Math.max(0, Math.ceil((to - from) / step));
  }
  const arranged = (list: readonly number[]): string => c.graph.ints(ordered(list, order));
  // The batch is taken whole, whatever its size: bit 0 of the mask.
  const attributes = { begin_mask: integer(1), end_mask: integer(1), Index: intType };
  const result = c.graph.add(
    "StridedSlice",
    [c.in(order, x), arranged(begin), arranged(end), arranged(stride)],
    { ...attributes, ellipsis_mask: integer(0), new_axis_mask: integer(0), shrink_axis_mask: integer(0) },
  );
  return c.made(shape, order, result);
}

export function newShape(c: LiveValues, node: OnnxNode): readonly number[] {
  const { shape } = c.operand(node, 0);
  const axes = axesOf(c, node, shape.length);
  switch (node.op) {
    case "Flatten": {
      const axis = numberAttribute(node, "axis", 1);
      if (axis !== 1) c.refuse(node, `axis ${axis} is not known`);
      return [shape[0] ?? BATCH, product(shape.slice(1))];
    }
    case "Squeeze":
      return shape.filter((size, axis) => (axes.length === 0 ? size !== 1 : !axes.includes(axis)));
    case "Unsqueeze": {
      const rank = shape.length + axes.length;
      const rest = [...shape];
      return Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() ?? 1)));
    }
    default:
      return resolved(c, node, shape, [...(c.constant(node, 1)?.data ?? [])]);
  }
}

function axesOf(c: LiveValues, node: OnnxNode, rank: number): number[] {
  const given = node.attributes.get("axes") ?? (node.op === "Reshape" ? [] : c.constant(node, 1)?.data);
  const axes = isList(given) ? [...given] : [];
  const total = node.op === "Unsqueeze" ? rank + axes.length : rank;
  return axes.map((axis) => (axis < 0 ? axis + total : axis));
}

/** 0 is the size that was there, −1 what is left over. */
function resolved(
  c: LiveValues,
  node: OnnxNode,
  from: readonly number[],
  target: readonly number[],
): readonly number[] {
  const shape = target.map((size, axis) => (size === 0 ? (from[axis] ?? 0) : size));
  const open = shape.indexOf(-1);
  if (open === -1) return shape;
  const rest = (sizes: readonly number[]): number => product(sizes.filter((size) => !Number.isNaN(size)));
  const others = shape.filter((_, axis) => axis !== open);
  const batchKept = others.some(Number.isNaN);
  if (!batchKept && open !== 0) c.refuse(node, "the batch cannot be part of another dimension");
  return shape.with(open, batchKept ? rest(from) / rest(others) : BATCH);
}

export function transpose(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const perm = listAttribute(
    node,
    "perm",
    x.shape.map((_, axis) => x.shape.length - 1 - axis),
  );
  const result = c.graph.add("Transpose", [c.in("plain", x), c.graph.ints(perm)]);
  return c.made(
    perm.map((axis) => x.shape[axis] ?? 0),
    "plain",
    result,
  );
}

export function tile(c: LiveValues, node: OnnxNode): Live {
  const x = c.operand(node, 0);
  const repeats = [...(c.constant(node, 1)?.data ?? [])];
  const result = c.graph.add("Tile", [c.in("plain", x), c.graph.ints(repeats)], {
    Tmultiples: intType,
  });
  return c.made(
    x.shape.map((size, axis) => size * (repeats[axis] ?? 1)),
    "plain",
    result,
  );
}
