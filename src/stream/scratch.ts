/**
 * Buffers lent for the length of one call and wiped when they come back. All chains of a thread share them: they take
 * turns, and a window of features is larger than all else that a participant has.
 */
const idle = new Map<number, Float32Array[]>();

/**
 * Calls `use` with a zeroed buffer of `length` floats, its own until it returns. Calls may be nested: each has its own
 * buffer.
 */
export function withScratch(length: number, use: (buffer: Float32Array) => void): void {
  const pool = idle.get(length) ?? [];
  idle.set(length, pool);
  const buffer = pool.pop() ?? new Float32Array(length);
  try {
    use(buffer);
  } finally {
    // Nothing of a voice stays behind.
    buffer.fill(0);
    pool.push(buffer);
  }
}
