/**
 * Buffers lent for a short while and wiped when they come back. All chains of a thread share them: they take turns, and a
 * window of features is larger than all else that a participant has.
 */
const idle = new Map<number, Float32Array[]>();

/** A zeroed buffer of `length` floats, the caller's until it returns it. */
export function borrowScratch(length: number): Float32Array {
  return idle.get(length)?.pop() ?? new Float32Array(length);
}

/** Call once for each buffer borrowed. */
export function returnScratch(buffer: Float32Array): void {
  // Nothing of a voice stays behind.
  buffer.fill(0);
  const pool = idle.get(buffer.length);
  if (pool === undefined) idle.set(buffer.length, [buffer]);
  else pool.push(buffer);
}

/**
 * Calls `use` with a zeroed buffer of `length` floats, its own until it returns. Calls may be nested: each has its own
 * buffer.
 */
export function withScratch(length: number, use: (buffer: Float32Array) => void): void {
  const buffer = borrowScratch(length);
  try {
    use(buffer);
  } finally {
    returnScratch(buffer);
  }
}

/** Who lends the memory that windows are made in. */
export interface WindowLender {
  /** A zeroed buffer of `length` floats, the caller's until it gives it back. */
  borrow(length: number): Float32Array;
  /** Call once for each buffer borrowed; it is wiped, unless it went out as a window. */
  giveBack(buffer: Float32Array): void;
}

/** The memory that all chains of a thread share. */
export const scratchLender: WindowLender = { borrow: borrowScratch, giveBack: returnScratch };
