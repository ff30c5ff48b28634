/**
 * Lets a shard's thread rest for a moment after packets have come, so that it, and the main thread after it, are woken for many
 * at once: what a network card does with its interrupts. It rests longer where windows wait longer anyhow: latency is not what
 * is wanted then.
 */
import type { Clock } from "../core/clock.ts";

/** What a thread has rested, µs, as an unsigned number that wraps; survives structured cloning. */
export type RestMemory = Int32Array<SharedArrayBuffer>;

export const createRestMemory = (): RestMemory => new Int32Array(new SharedArrayBuffer(4));

/** How long it rests, ms, while the machine has time to spare, and at most. */
const REST_MS = 2;
const LONGEST_REST_MS = 4;

/** A turn that worked for longer, ms, says that there is much to do: then it does not rest. */
const LONGEST_TURN_MS = 4;

/** Half of what windows wait, or, beyond REST_MS, a fifth of it. */
const restOf = (delayMs: number): number =>
  Math.min(LONGEST_REST_MS, Math.max(delayMs / 5, Math.min(REST_MS, delayMs / 2)));

export interface PacerOptions {
  readonly clock: Clock;
  /** For which windows wait for batch-mates now. Who has them wait less wants latency. */
  readonly delayMs: () => number;
  readonly rested: RestMemory;
  /** Blocks the thread. */
  readonly rest: (ms: number) => void;
  /** Says what is due at `nowMs`. @returns when more will be, ms: it rests no longer */
  readonly speak: (nowMs: number) => number;
}

export class Pacer {
  readonly #options: PacerOptions;
  #turnBeganMs: number | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  /** A packet has come. */
  readonly note = (): void => {
    if (this.#turnBeganMs !== undefined || this.#options.delayMs() === 0) return;
    this.#turnBeganMs = this.#options.clock.now();
    // After the packets that lie in the sockets now.
    setImmediate(this.#endTurn);
  };

  readonly #endTurn = (): void => {
    const { clock, delayMs, rested, rest, speak } = this.#options;
    const beganMs = this.#turnBeganMs ?? 0;
    this.#turnBeganMs = undefined;
    const endedMs = clock.now();
    const dueMs = speak(endedMs);
    if (endedMs - beganMs > LONGEST_TURN_MS) return;
    rest(Math.min(restOf(delayMs()), dueMs - endedMs));
    const nowMs = clock.now();
    Atomics.add(rested, 0, Math.round(1_000 * (nowMs - endedMs)));
    // To be woken for it would cost more.
    if (nowMs >= dueMs) speak(nowMs);
  };
}

/** The main thread's part: what was rested between two looks, ms. */
export class RestReader {
  readonly #memory: RestMemory;
  #seen = 0;

  constructor(memory: RestMemory) {
    this.#memory = memory;
  }

  takeMs(): number {
    const now = Atomics.load(this.#memory, 0);
    const micros = (now - this.#seen) >>> 0;
    this.#seen = now;
    return micros / 1_000;
  }
}
