/** Writes feature files in the safetensors format. https://github.com/huggingface/safetensors#format */
import { type FileHandle, open } from "node:fs/promises";
import { TonetapError } from "../src/core/errors.ts";

/** Bytes kept for the header, which is known only when all data is written. Unused ones are spaces, as the format allows. */
const HEADER_BYTES = 1024;

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

  /** @param features frame-major, C a frame. */
  async append(features: Float16Array, speech: Uint8Array): Promise<void> {
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
