/**
 * A thread's sign of life in shared memory, and the watch over it: one that hangs in a loop of its own neither throws nor
 * ends. What becomes of it is shard-link.ts.
 */

/** Survives structured cloning. */
export type HeartbeatMemory = Int32Array<SharedArrayBuffer>;

export const createHeartbeat = (): HeartbeatMemory => new Int32Array(new SharedArrayBuffer(4));

/** The thread's part: its event loop turns. */
export const beat = (memory: HeartbeatMemory): void => {
  Atomics.add(memory, 0, 1);
};

/** A thread that has never beaten is starting: modules are loaded, WebAssembly is compiled. */
const LEAST_START_MS = 30_000;
/** A look that comes later says more of the machine, which slept or had too much to do, than of the thread: it counts as so late. */
const LATEST_LOOK_MS = 2_000;

export class HeartbeatWatch {
  readonly #memory: HeartbeatMemory;
  readonly #limitMs: number;
  #beats = 0;
  #lookedMs: number;
  #silentMs = 0;

  /** @param limitMs silence that is not too long yet */
  constructor(memory: HeartbeatMemory, limitMs: number, nowMs: number) {
    this.#memory = memory;
    this.#limitMs = limitMs;
    this.#lookedMs = nowMs;
  }

  /** Ask every second or so. @returns whether the thread has been silent for too long */
  isSilent(nowMs: number): boolean {
    const beats = Atomics.load(this.#memory, 0);
    const passedMs = Math.min(LATEST_LOOK_MS, nowMs - this.#lookedMs);
    this.#lookedMs = nowMs;
    this.#silentMs = beats === this.#beats ? this.#silentMs + passedMs : 0;
    this.#beats = beats;
    const limitMs = beats === 0 ? Math.max(LEAST_START_MS, this.#limitMs) : this.#limitMs;
    return this.#silentMs > limitMs;
  }
}
