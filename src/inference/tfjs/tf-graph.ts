/** Builds a TensorFlow.js graph model: nodes of a GraphDef in JSON, and their weights in one block. Which nodes is onnx-to-tfjs.ts. */

type Attribute =
  | { readonly type: string }
  | { readonly b: boolean }
  | { readonly i: string }
  | { readonly s: string }
  | { readonly f: number }
  | { readonly list: { readonly i?: readonly string[]; readonly s?: readonly string[] } }
  | { readonly shape: { readonly dim: readonly { readonly size: string }[] } };

interface TfNode {
  readonly name: string;
  readonly op: string;
  readonly input: readonly string[];
  readonly attr: Readonly<Record<string, Attribute>>;
}

interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32";
}

/** What `tf.loadGraphModel(tf.io.fromMemory(…))` takes. */
export interface TfModelArtifacts {
  readonly format: "graph-model";
  readonly generatedBy: string;
  readonly modelTopology: {
    readonly node: readonly TfNode[];
    readonly versions: { readonly producer: number };
  };
  readonly weightSpecs: readonly WeightSpec[];
  readonly weightData: ArrayBuffer;
}

/** A GraphDef's bytes stand in JSON as base64. */
const bytes = (value: string): string => Buffer.from(value).toString("base64");
export const floatType: Attribute = { type: "DT_FLOAT" };
export const intType: Attribute = { type: "DT_INT32" };
export const flag = (b: boolean): Attribute => ({ b });
export const integer = (value: number): Attribute => ({ i: String(value) });
export const float = (f: number): Attribute => ({ f });
export const word = (value: string): Attribute => ({ s: bytes(value) });
export const words = (list: readonly string[]): Attribute => ({ list: { s: list.map(bytes) } });
export const integers = (list: readonly number[]): Attribute => ({ list: { i: list.map(String) } });

export class TfGraph {
  readonly #nodes: TfNode[] = [];
  readonly #specs: WeightSpec[] = [];
  readonly #data: Uint8Array[] = [];
  /** Integers that are used again and again: axes, shapes. */
  readonly #shared = new Map<string, string>();

  /** @param shape −1 where it varies */
  input(name: string, shape: readonly number[]): string {
    const dim = shape.map((size) => ({ size: String(size) }));
    this.#nodes.push({
      name,
      op: "Placeholder",
      input: [],
      attr: { dtype: floatType, shape: { shape: { dim } } },
    });
    return name;
  }

  /** @returns the node's name; others take its first output by it */
  add(
    op: string,
    input: readonly string[],
    attr: Readonly<Record<string, Attribute>> = {},
    name?: string,
  ): string {
    const own = name ?? `n${this.#nodes.length}`;
    this.#nodes.push({ name: own, op, input, attr: { T: floatType, ...attr } });
    return own;
  }

  floats(data: Float32Array, shape: readonly number[]): string {
    return this.#constant("float32", shape, new Uint8Array(Float32Array.from(data).buffer));
  }

  scalar(value: number): string {
    return this.floats(Float32Array.of(value), []);
  }

  /** @param shape default: a list; [] for one number alone */
  ints(data: readonly number[], shape: readonly number[] = [data.length]): string {
    const key = `${shape.length}:${data.join(",")}`;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const made = this.#constant("int32", shape, new Uint8Array(Int32Array.from(data).buffer));
    this.#shared.set(key, made);
    return made;
  }

  artifacts(): TfModelArtifacts {
    const size = this.#data.reduce((sum, part) => sum + part.length, 0);
    const weights = new Uint8Array(size);
    let at = 0;
    for (const part of this.#data) {
      weights.set(part, at);
      at += part.length;
    }
    return {
      format: "graph-model",
      generatedBy: "tonetap",
      modelTopology: { node: this.#nodes, versions: { producer: 0 } },
      weightSpecs: this.#specs,
      weightData: weights.buffer,
    };
  }

  #constant(dtype: WeightSpec["dtype"], shape: readonly number[], data: Uint8Array): string {
    const name = `n${this.#nodes.length}`;
    const attr = { dtype: dtype === "float32" ? floatType : intType };
    this.#nodes.push({ name, op: "Const", input: [], attr });
    this.#specs.push({ name, shape, dtype });
    this.#data.push(data);
    return name;
  }
}
