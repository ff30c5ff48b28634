/**
 * The values of a graph that is being converted, and in which order of dimensions each is there. TensorFlow's
 * convolutions want channels last, ONNX has them second: a value of four dimensions is carried in either order and
 * brought to the other only where an operator needs that.
 */
import { TonetapError } from "../../core/errors.ts";
import { BATCH } from "./known-values.ts";
import type { OnnxGraph, OnnxNode, OnnxTensor } from "./onnx-file.ts";
import { TfGraph } from "./tf-graph.ts";

/** `plain`: as in ONNX. `last`: [N, C, H, W] as [N, H, W, C]. */
export type Order = "plain" | "last";

/** A value that is computed when the graph runs. */
export interface Live {
  /** In ONNX's order; NaN for the batch. */
  readonly shape: readonly number[];
  /** Names of its nodes, in the orders that there are so far. */
  readonly nodes: { plain?: string; last?: string };
}

/** Axis of ONNX's order → axis of channels last. */
export const LAST_AXIS = [0, 3, 1, 2] as const;
const TO_LAST = [0, 2, 3, 1];
const TO_PLAIN = [0, 3, 1, 2];

export class LiveValues {
  readonly graph = new TfGraph();
  readonly opset: number;
  readonly #known = new Map<string, OnnxTensor>();
  readonly #live = new Map<string, Live>();

  constructor({ opset, weights, inputs }: OnnxGraph) {
    this.opset = opset;
    for (const [name, tensor] of weights) this.#known.set(name, tensor);
    for (const { name, shape } of inputs) {
      const dims = shape.map((size, axis) => (axis === 0 ? -1 : size));
      this.#live.set(name, {
        shape: [BATCH, ...shape.slice(1)],
        nodes: { plain: this.graph.input(name, dims) },
      });
    }
  }

  known(name: string): OnnxTensor | undefined {
    return this.#known.get(name);
  }

  shapeOf(name: string): readonly number[] | undefined {
    return (this.#live.get(name) ?? this.#known.get(name))?.shape;
  }

  set(name: string, value: Live): void {
    this.#live.set(name, value);
  }

  setKnown(name: string, value: OnnxTensor): void {
    this.#known.set(name, value);
  }

  /** A value of the running graph; weights become one when first read. */
  get(name: string): Live {
    const live = this.#live.get(name);
    if (live !== undefined) return live;
    const known = this.#known.get(name);
    if (known === undefined) {
      throw new TonetapError("invalid-argument", `the ONNX graph reads ${name}, which nothing computes`);
    }
    const made: Live = {
      shape: known.shape,
      nodes: { plain: this.graph.floats(Float32Array.from(known.data), known.shape) },
    };
    this.#live.set(name, made);
    return made;
  }

  operand(node: OnnxNode, i: number): Live {
    const name = node.inputs[i];
    return name === undefined || name === "" ? this.refuse(node, `input ${i} is missing`) : this.get(name);
  }

  /** Numbers that must be known: axes, shapes, weights. */
  constant(node: OnnxNode, i: number): OnnxTensor | undefined {
    const name = node.inputs[i];
    if (name === undefined || name === "") return undefined;
    return this.#known.get(name) ?? this.refuse(node, `input ${i} must be constant`);
  }

  /** Its node in an order, made when there is none yet. */
  in(order: Order, value: Live): string {
    const there = value.nodes[order];
    if (there !== undefined) return there;
    const from = (order === "last" ? value.nodes.plain : value.nodes.last) ?? "";
    const [, channels = 0, ...spatial] = value.shape;
    // Where all but one of the dimensions that change places are 1, the numbers stay where they are.
    const node =
      channels === 1 || spatial.every((size) => size === 1)
        ? this.graph.add("Reshape", [from, this.shapeNode(ordered(value.shape, order))])
        : this.graph.add("Transpose", [from, this.graph.ints(order === "last" ? TO_LAST : TO_PLAIN)]);
    value.nodes[order] = node;
    return node;
  }

  /** The order in which values of four dimensions go together without moving the bigger part. */
  common(values: readonly Live[]): Order {
    const four = values.filter(({ shape }) => shape.length === 4);
    return four.some(({ nodes }) => nodes.last !== undefined) ? "last" : "plain";
  }

  made(shape: readonly number[], order: Order, node: string): Live {
    return { shape, nodes: { [order]: node } };
  }

  shapeNode(shape: readonly number[]): string {
    return this.graph.ints(shape.map((size) => (Number.isNaN(size) ? -1 : size)));
  }

  refuse(node: OnnxNode, reason: string): never {
    throw new TonetapError(
      "invalid-argument",
      `tfjs cannot run this model: node ${node.name === "" ? node.outputs[0] : node.name} (${node.op}): ${reason}`,
    );
  }

  unary(node: OnnxNode, op: string, attributes = {}): Live {
    const x = this.operand(node, 0);
    const order = this.common([x]);
    return this.made(x.shape, order, this.graph.add(op, [this.in(order, x)], attributes));
  }

  binary(op: string, a: Live, b: Live): Live {
    const shape = broadcast(a.shape, b.shape);
    const order = this.common([a, b]);
    const nodes = [a, b].map((value) => {
      // Right-aligned dimensions mean something else once channels are last.
      if (order === "last" && value.shape.length > 0 && value.shape.length < 4) {
        return this.in("last", this.reshape(value, [1, 1, 1, ...value.shape].slice(-4)));
      }
      return this.in(value.shape.length === 4 ? order : "plain", value);
    });
    return this.made(shape, order, this.graph.add(op, nodes));
  }

  reshape(x: Live, shape: readonly number[]): Live {
    return this.made(shape, "plain", this.graph.add("Reshape", [this.in("plain", x), this.shapeNode(shape)]));
  }
}

export const ordered = (numbers: readonly number[], order: Order): readonly number[] =>
  order === "last" && numbers.length === 4 ? TO_LAST.map((axis) => numbers[axis] ?? 0) : numbers;

export const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

function broadcast(a: readonly number[], b: readonly number[]): readonly number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a.at(i - rank) ?? 1, b.at(i - rank) ?? 1];
    return x === 1 ? y : x;
  });
}
