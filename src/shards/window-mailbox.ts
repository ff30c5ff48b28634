/**
 * Windows on their way from a shard to the batcher: rows of shared memory that the shard writes and takes, and the main
 * thread wipes and gives back. What is said of a row is window-head.ts.
 */
import { scratchLender, type WindowLender } from "../stream/index.ts";
import type { WindowNews } from "./shard-protocol.ts";
import { HEAD_SIZE, readHead, writeHead } from "./window-head.ts";

const SENT = -1;

/** The mailbox itself; survives structured cloning. */
export interface WindowMailboxMemory {
  /** One a row: how many features it is taken for; 0 while it is free. */
  readonly taken: Int32Array<SharedArrayBuffer>;
  /** [rows, C × T]: of most windows the fresh frames only. */
  readonly features: Float32Array<SharedArrayBuffer>;
  /** [rows, HEAD_SIZE] */
  readonly heads: Float64Array<SharedArrayBuffer>;
}

/**
 * The system gives pages as rows are first written, and the lowest free row is taken first: what is never used costs
 * nothing.
 * @param size features of a window, C × T
 */
export function createWindowMailbox(rows: number, size: number): WindowMailboxMemory {
  return {
    taken: new Int32Array(new SharedArrayBuffer(4 * rows)),
    features: new Float32Array(new SharedArrayBuffer(4 * rows * size)),
    heads: new Float64Array(new SharedArrayBuffer(8 * rows * HEAD_SIZE)),
  };
}

export class WindowMailbox implements WindowLender {
  readonly #taken: Int32Array<SharedArrayBuffer>;
  readonly #features: Float32Array<SharedArrayBuffer>;
  readonly #heads: Float64Array<SharedArrayBuffer>;
  readonly #size: number;
  /** Rows that are lent now; SENT once their windows went out. */
  readonly #lent = new Map<Float32Array, number>();

  constructor({ taken, features, heads }: WindowMailboxMemory) {
    this.#taken = taken;
    this.#features = features;
    this.#heads = heads;
    this.#size = features.length / taken.length;
  }

  /** Rows that are taken. */
  get used(): number {
    let used = 0;
    for (let row = 0; row < this.#taken.length; row++) used += Number(Atomics.load(this.#taken, row) > 0);
    return used;
  }

  /** Whether nothing of a voice is in it. Looks at all of it. */
  isWiped(): boolean {
    return this.#features.every((value) => value === 0);
  }

  /** The shard's part: lends a row to make features in; where all are taken, memory of the thread's own. */
  borrow(length: number): Float32Array {
    const row = this.#take(length);
    if (row === undefined) return scratchLender.borrow(length);
    const buffer = this.at(row);
    this.#lent.set(buffer, row);
    return buffer;
  }

  giveBack(buffer: Float32Array): void {
    const row = this.#lent.get(buffer);
    this.#lent.delete(buffer);
    if (row === undefined) scratchLender.giveBack(buffer);
    else if (row >= 0) this.release(row);
  }

  /** The shard's part: features go out, in the row that was lent, or copied into one. @returns undefined when there is none */
  put(features: Float32Array): number | undefined {
    const lent = this.#lent.get(features);
    if (lent !== undefined) {
      this.#lent.set(features, SENT);
      return lent;
    }
    const row = this.#take(features.length);
    if (row !== undefined) this.#features.set(features, row * this.#size);
    return row;
  }

  /** The shard's part: a whole window goes out that `write` makes. @returns undefined when it does not, or there is no row */
  putWhole(write: (out: Float32Array) => boolean): number | undefined {
    const row = this.#take(this.#size);
    if (row === undefined || write(this.at(row))) return row;
    this.release(row);
    return undefined;
  }

  /** The shard's part: what is said of a window lies beside its features. @returns its row */
  seal(news: WindowNews): number {
    const { row } = news.unit;
    writeHead(this.#heads, row * HEAD_SIZE, news);
    return row;
  }

  /** What is said of the window in a row. */
  read(row: number): WindowNews {
    return readHead(this.#heads, row * HEAD_SIZE, row);
  }

  /** Features in their place: valid until the row is released. */
  at(row: number): Float32Array {
    const first = row * this.#size;
    return this.#features.subarray(first, first + Atomics.load(this.#taken, row));
  }

  #take(length: number): number | undefined {
    for (let row = 0; row < this.#taken.length; row++) {
      if (Atomics.load(this.#taken, row) > 0) continue;
      Atomics.store(this.#taken, row, length);
      return row;
    }
    return undefined;
  }

  /** Wipes a row and gives it back: nothing of a voice stays behind. */
  release(row: number): void {
    const first = row * this.#size;
    this.#features.fill(0, first, first + Atomics.load(this.#taken, row));
    Atomics.store(this.#taken, row, 0);
  }
}
