/** Reads and writes Protocol Buffers by field number: what ONNX files and gRPC need of them. Which number means what is the caller's. */
import { TonetapError } from "../core/errors.ts";

export type Field = number | Uint8Array;
/** A message: every occurrence of every field, in order. */
export type Fields = ReadonlyMap<number, readonly Field[]>;

function fail(reason: string): never {
  throw new TonetapError("protocol", reason);
}

/** Wire types 0, 1, 2 and 5. @throws TonetapError protocol */
export function message(bytes: Uint8Array): Fields {
  const fields = new Map<number, Field[]>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = varint(bytes, cursor);
    const wire = tag % 8;
    let value: Field;
    if (wire === 0) value = varint(bytes, cursor);
    else if (wire === 2) {
      const length = varint(bytes, cursor);
      if (length < 0 || cursor.at + length > bytes.length) fail("it is cut off");
      value = bytes.subarray(cursor.at, cursor.at + length);
      cursor.at += length;
    } else if (wire === 1 || wire === 5) {
      const size = wire === 1 ? 8 : 4;
      if (cursor.at + size > bytes.length) fail("it is cut off");
      value = wire === 1 ? view.getFloat64(cursor.at, true) : view.getFloat32(cursor.at, true);
      cursor.at += size;
    } else fail(`wire type ${wire} at byte ${cursor.at}`);
    const number = Math.floor(tag / 8);
    const list = fields.get(number);
    if (list === undefined) fields.set(number, [value]);
    else list.push(value);
  }
  return fields;
}

/** Two's complement of 64 bits. Beyond 2⁵³ it is rounded: ONNX's "to the end" is the only such number. */
function varint(bytes: Uint8Array, cursor: { at: number }): number {
  let low = 0;
  // Four bytes fit into 32 bits; that is nearly all there are.
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[cursor.at++] ?? fail("it is cut off");
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) return low;
  }
  let value = BigInt(low);
  for (let shift = 28n; shift < 70n; shift += 7n) {
    const byte = bytes[cursor.at++] ?? fail("it is cut off");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return Number(BigInt.asIntN(64, value));
  }
  return fail(`a number of more than 64 bits at byte ${cursor.at}`);
}

export const blob = (field: Field): Uint8Array =>
  typeof field === "number" ? fail("a field is no message") : field;

const decoder = new TextDecoder();
export const string = (field: Field): string => decoder.decode(blob(field));

/** The last one counts, as protobuf has it; empty when there is none. */
export const text = (fields: Fields, number: number): string => {
  const value = fields.get(number)?.at(-1);
  return value === undefined ? "" : string(value);
};

/** 0 when there is none. */
export const integer = (fields: Fields, number: number): number => {
  const value = fields.get(number)?.at(-1);
  return typeof value === "number" ? value : 0;
};

/** A repeated number: packed into one blob, or one field each. */
export function integers(fields: Fields, number: number): number[] {
  return (fields.get(number) ?? []).flatMap((field) => {
    if (typeof field === "number") return field;
    const list: number[] = [];
    for (const cursor = { at: 0 }; cursor.at < field.length; ) list.push(varint(field, cursor));
    return list;
  });
}

/** A repeated float, packed or not. */
export function floats(fields: Fields, number: number): number[] {
  return (fields.get(number) ?? []).flatMap((field) =>
    // A copy, because a blob may begin at any byte.
    typeof field === "number" ? field : [...new Float32Array(new Uint8Array(field).buffer)],
  );
}

/** Builds one message. Empty values are not written, as in proto3. */
export class ProtoWriter {
  readonly #parts: Uint8Array[] = [];

  bytes(number: number, value: Uint8Array): this {
    this.#parts.push(tag(number, 2), length(value.length), value);
    return this;
  }

  text(number: number, value: string): this {
    return value === "" ? this : this.bytes(number, encoder.encode(value));
  }

  /** @param value 0 or more */
  integer(number: number, value: number): this {
    if (value !== 0) this.#parts.push(tag(number, 0), length(value));
    return this;
  }

  /** Packed. @param values 0 or more each */
  integers(number: number, values: readonly number[]): this {
    return this.bytes(number, Buffer.concat(values.map(length)));
  }

  message(number: number, value: ProtoWriter): this {
    return this.bytes(number, value.finish());
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const encoder = new TextEncoder();
const tag = (number: number, wire: number): Uint8Array => length(number * 8 + wire);

/** A varint of a whole number from 0 to 2⁵³. */
function length(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
