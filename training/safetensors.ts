/** Writes feature files in the safetensors format. https://github.com/huggingface/safetensors#format */
import { type FileHandle, open } from "node:fs/promises";
import { TonetapError } from "../src/core/errors.ts";

/** Bytes kept for the header, which is known only when all data is written. Unused ones are spaces, as the format allows. */
const HEADER_BYTES = 1024;

const float32 = new Float32Array(1);
const bits = new Uint32Array(float32.buffer);

/** Nearest IEEE 754 half-precision number, ties to even, as its 16 bits. Beyond ±65,504: infinity. */
export function toHalf(value: number): number {
  float32[0] = value;
  const word = bits[0] ?? 0;
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 0xff) - 112;
  const mantissa = word & 0x7fffff;
  if (exponent >= 31) {
    const notANumber = exponent === 143 && mantissa !== 0;
    return sign | 0x7c00 | (notANumber ? 0x200 : 0);
  }
  if (exponent < -10) return sign;
  const full = exponent > 0 ? mantissa : mantissa | 0x800000;
  const shift = exponent > 0 ? 13 : 14 - exponent;
  const base = exponent > 0 ? (exponent << 10) | (full >>> 13) : full >>> shift;
  const rest = full & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  // A carry out of the mantissa raises the exponent by itself: the fields are adjacent.
  return sign | (base + (rest > half || (rest === half && (base & 1) === 1) ? 1 : 0));
}

/** A file of one float16 matrix `features` [frames, C], appended to clip by clip, and one uint8 row `speech` [frames]. */
export class FeatureFileWriter {
  readonly #file: FileHandle;
  readonly #channels: number;
  readonly #speech: Uint8Array[] = [];
  #frames = 0;

  private constructor(file: FileHandle, channels: number) {
    this.#file = file;
    this.#channels = channels;
  }

  static async create(path: string, channels: number): Promise<FeatureFileWriter> {
    const file = await open(path, "w").catch((error: unknown) => {
      throw TonetapError.from(error, "unavailable", `cannot write ${path}`);
    });
    await file.write(new Uint8Array(8 + HEADER_BYTES));
    return new FeatureFileWriter(file, channels);
  }

  /** Frames written so far: where the next clip begins. */
  get frames(): number {
    return this.#frames;
  }

  /** @param features bits of float16 values, frame-major, C a frame. */
  async append(features: Uint16Array, speech: Uint8Array): Promise<void> {
    if (features.length !== speech.length * this.#channels) {
      throw new TonetapError("internal", `${features.length} features do not fit ${speech.length} frames`);
    }
    await this.#file.write(new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
    this.#speech.push(speech);
    this.#frames += speech.length;
  }

  /** Writes what is left and the header. */
  async close(): Promise<void> {
    for (const speech of this.#speech) await this.#file.write(speech);
    const end = this.#frames * this.#channels * 2;
    const header = JSON.stringify({
      features: { dtype: "F16", shape: [this.#frames, this.#channels], data_offsets: [0, end] },
      speech: { dtype: "U8", shape: [this.#frames], data_offsets: [end, end + this.#frames] },
    });
    const head = new Uint8Array(8 + HEADER_BYTES).fill(0x20);
    new DataView(head.buffer).setBigUint64(0, BigInt(HEADER_BYTES), true);
    head.set(new TextEncoder().encode(header), 8);
    await this.#file.write(head, 0, head.length, 0);
    await this.#file.close();
  }
}
