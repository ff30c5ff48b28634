/** Reads an ONNX file: its graph, attributes and weights. What its operators mean is onnx-to-tfjs.ts. */
import { TonetapError } from "../../core/errors.ts";
import { blob, type Fields, floats, integer, integers, message, string, text } from "../protobuf.ts";

/** Numbers of a tensor: float weights, or integers that name shapes and axes. */
export interface OnnxTensor {
  readonly shape: readonly number[];
  readonly type: "float32" | "int64";
  readonly data: Float32Array | readonly number[];
}

export type OnnxAttribute = number | string | readonly number[] | OnnxTensor;

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

export interface OnnxValue {
  readonly name: string;
  /** −1 for a dimension that varies. */
  readonly shape: readonly number[];
}

export interface OnnxGraph {
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly weights: ReadonlyMap<string, OnnxTensor>;
  /** Without the weights, which old files list too. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/**
 * onnx.proto3 says which field has which number; only those that are needed are read.
 * @throws TonetapError invalid-argument for a file that is cut off, is no ONNX, or keeps its weights elsewhere
 */
export function readOnnx(bytes: Uint8Array): OnnxGraph {
  try {
    return readModel(bytes);
  } catch (error) {
    if (error instanceof TonetapError && error.code === "protocol") fail(error.message);
    throw error;
  }
}

function readModel(bytes: Uint8Array): OnnxGraph {
  let graph: Fields | undefined;
  let opset = 0;
  const model = message(bytes);
  for (const entry of model.get(8) ?? []) {
    const fields = message(blob(entry));
    // The default domain has no name.
    if (text(fields, 1) === "") opset = integer(fields, 2);
  }
  const [found] = model.get(7) ?? [];
  if (found !== undefined) graph = message(blob(found));
  if (graph === undefined || opset === 0) fail("it holds no graph");
  const weights = new Map<string, OnnxTensor>();
  for (const entry of graph.get(5) ?? []) {
    const fields = message(blob(entry));
    weights.set(text(fields, 8), tensor(fields));
  }
  return {
    opset,
    nodes: (graph.get(1) ?? []).map((entry) => node(message(blob(entry)))),
    weights,
    inputs: values(graph, 11).filter(({ name }) => !weights.has(name)),
    outputs: values(graph, 12),
  };
}

function fail(reason: string): never {
  throw new TonetapError("invalid-argument", `the ONNX file cannot be read: ${reason}`);
}

/** A copy, because a blob may begin at any byte. */
const aligned = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

const FLOAT = 1;
const INT32 = 6;
const INT64 = 7;

function tensor(fields: Fields): OnnxTensor {
  const name = text(fields, 8);
  const shape = integers(fields, 1);
  const dataType = integer(fields, 2);
  const [raw] = fields.get(9) ?? [];
  if (fields.has(13)) fail(`the weights ${name} lie in another file`);
  const bytes = raw === undefined ? undefined : aligned(blob(raw));
  const size = shape.reduce((product, dim) => product * dim, 1);
  const checked = <T extends Float32Array | number[]>(data: T): T =>
    data.length === size ? data : fail(`${name} has ${data.length} numbers for [${shape.join(", ")}]`);
  switch (dataType) {
    case FLOAT: {
      const data = bytes === undefined ? Float32Array.from(floats(fields, 4)) : new Float32Array(bytes);
      return { shape, type: "float32", data: checked(data) };
    }
    case INT64: {
      const data = bytes === undefined ? integers(fields, 7) : [...new BigInt64Array(bytes)].map(Number);
      return { shape, type: "int64", data: checked(data) };
    }
    case INT32: {
      const data = bytes === undefined ? integers(fields, 5) : [...new Int32Array(bytes)];
      return { shape, type: "int64", data: checked(data) };
    }
    default:
      return fail(
        `${name === "" ? "a tensor" : name} has data type ${dataType}; float32, int32 and int64 are read`,
      );
  }
}

function node(fields: Fields): OnnxNode {
  const attributes = new Map<string, OnnxAttribute>();
  for (const entry of fields.get(5) ?? []) {
    const attribute = message(blob(entry));
    const value = attributeValue(attribute);
    if (value !== undefined) attributes.set(text(attribute, 1), value);
  }
  return {
    op: text(fields, 4),
    name: text(fields, 3),
    inputs: (fields.get(1) ?? []).map(string),
    outputs: (fields.get(2) ?? []).map(string),
    attributes,
  };
}

/** AttributeProto.type says which of its fields counts: zero is not written. */
function attributeValue(fields: Fields): OnnxAttribute | undefined {
  const [nested] = fields.get(5) ?? [];
  switch (integer(fields, 20)) {
    case 1:
      return integer(fields, 2);
    case 2:
      return integer(fields, 3);
    case 3:
      return text(fields, 4);
    case 4:
      return nested === undefined ? undefined : tensor(message(blob(nested)));
    case 6:
      return floats(fields, 7);
    case 7:
      return integers(fields, 8);
    default:
      return undefined;
  }
}

function values(graph: Fields, number: number): OnnxValue[] {
  return (graph.get(number) ?? []).map((entry) => {
    const fields = message(blob(entry));
    const inner = (of: Fields, field: number): Fields => {
      const [value] = of.get(field) ?? [];
      return value === undefined ? new Map() : message(blob(value));
    };
    const shape = inner(inner(inner(fields, 2), 1), 2);
    const dims = (shape.get(1) ?? []).map((dim) => {
      const sizes = message(blob(dim));
      return sizes.has(1) ? integer(sizes, 1) : -1;
    });
    return { name: text(fields, 1), shape: dims };
  });
}

export const isList = (value: unknown): value is readonly number[] => Array.isArray(value);

export function numberAttribute(node: OnnxNode, name: string, standard: number): number {
  const value = node.attributes.get(name);
  return typeof value === "number" ? value : standard;
}

export function listAttribute(node: OnnxNode, name: string, standard: readonly number[]): readonly number[] {
  const value = node.attributes.get(name);
  return isList(value) ? value : standard;
}
