/**
 * Keeps a thread from being terminated while it is inside a runtime's native code. onnxruntime-node throws Napi::Error
 * when its thread is terminated under it, which nothing can catch: the whole process aborts. Thread and main side share
 * one word of memory, and whoever comes first has it.
 */

const FREE = 0;
const NATIVE = 1;
const CONDEMNED = 2;

export type NativeHold = Int32Array<SharedArrayBuffer>;

/** Held from the beginning: a thread imports its runtime before it can say so. */
export const createNativeHold = (): NativeHold => new Int32Array(new SharedArrayBuffer(4)).fill(NATIVE);

/** The thread's side: it is in no native code now. */
export const letGo = (hold: NativeHold): void => {
  Atomics.store(hold, 0, FREE);
};

/** The thread's side: does `work` unless the thread is about to be terminated; then it never settles. Not nested. */
export async function holding<T>(hold: NativeHold, work: () => Promise<T>): Promise<T> {
  // Waits for the end, which is under way.
  if (Atomics.compareExchange(hold, 0, FREE, NATIVE) === CONDEMNED) return new Promise(() => undefined);
  try {
    return await work();
  } finally {
    letGo(hold);
  }
}

/** The main side's. @returns whether the thread may be terminated: it is in no native code, and enters none any more */
export const condemn = (hold: NativeHold): boolean =>
  Atomics.compareExchange(hold, 0, FREE, CONDEMNED) !== NATIVE;
