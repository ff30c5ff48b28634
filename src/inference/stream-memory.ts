/**
 * Slots of shared memory, one a stream: what a streaming model carries of it from window to window. Threads read them;
 * only the main side writes, when a batch is done. Which stream holds which slot is streams.ts.
 */
import { assertRange, TonetapError } from "../core/errors.ts";
import type { ModelManifest, StreamingSpec } from "../core/model.ts";
import { copySteps, type HeldSteps, heldStepBytes, roomForSteps, wipeSteps } from "./held-steps.ts";

/** Sizes of what a streaming model carries. */
export type StreamShape = Pick<StreamingSpec, "strideFrames" | "stateSize" | "embeddingChannels" | "steps">;

export const streamShape = ({ streaming }: Pick<ModelManifest, "streaming">): StreamShape | undefined =>
  streaming;

/** Bytes of one stream. */
export const slotBytes = ({ stateSize, steps, embeddingChannels }: StreamShape): number =>
  4 * stateSize + steps * heldStepBytes(embeddingChannels);

/** The part of {@link StreamMemory} that a thread needs; survives structured cloning. */
export interface StreamMemoryView {
  /** [slots, S] */
  readonly states: Float32Array<SharedArrayBuffer>;
  /** [slots, steps] of E: of each slot a ring. */
  readonly embeddings: HeldSteps;
}

/** How one window of a batch is judged by its stream. */
export interface StreamPart {
  /** What the stream carries: read before the batch, written once it is done. */
  readonly slot: number;
  /** Frames to encode, a multiple of the stride: those of the window that the encoder has not seen. */
  readonly frames: number;
  /** Where they begin in each channel of the window's row, and floats from channel to channel. */
  readonly offset: number;
  readonly stride: number;
  /** Steps that the slot holds and where its next goes; both 0 where the stream begins, from a state of zeros. */
  readonly before: number;
  readonly next: number;
}

export class StreamMemory implements StreamMemoryView {
  readonly slots: number;
  readonly shape: StreamShape;
  readonly states: Float32Array<SharedArrayBuffer>;
  readonly embeddings: HeldSteps;
  readonly #free: number[];
  readonly #held: Uint8Array;
  /** Steps that each slot's ring holds, and where its next goes. */
  readonly #steps: Uint16Array;
  readonly #next: Uint16Array;

  /** The operating system gives pages as slots are first written, so unused ones cost nothing. */
  constructor(slots: number, shape: StreamShape) {
    assertRange("stream slots", slots, 1, 1 << 20);
    this.slots = slots;
    this.shape = shape;
    this.states = new Float32Array(new SharedArrayBuffer(4 * slots * shape.stateSize));
    this.embeddings = roomForSteps(slots * shape.steps, shape.embeddingChannels);
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#held = new Uint8Array(slots);
    this.#steps = new Uint16Array(slots);
    this.#next = new Uint16Array(slots);
  }

  /** Slots that somebody holds. */
  get held(): number {
    return this.slots - this.#free.length;
  }

  /** @returns an empty slot; undefined when none is free */
  take(): number | undefined {
    const slot = this.#free.pop();
    if (slot !== undefined) this.#held[slot] = 1;
    return slot;
  }

  /** Wipes a slot and gives it back. */
  release(slot: number): void {
    if (this.#held[slot] !== 1) throw new TonetapError("internal", `stream slot ${slot} is not held`);
    this.wipe(slot);
    this.#held[slot] = 0;
    this.#free.push(slot);
  }

  /** Nothing of a voice stays in it; it is its holder's still. */
  wipe(slot: number): void {
    const { stateSize, steps } = this.shape;
    this.states.fill(0, slot * stateSize, (slot + 1) * stateSize);
    wipeSteps(this.embeddings, slot * steps, steps);
    this.#steps[slot] = 0;
    this.#next[slot] = 0;
  }

  /** A part that goes on where the slot stands, or begins anew. */
  part(slot: number, row: Pick<StreamPart, "frames" | "offset" | "stride">, continues: boolean): StreamPart {
    const before = continues ? (this.#steps[slot] ?? 0) : 0;
    return { slot, ...row, before, next: continues ? (this.#next[slot] ?? 0) : 0 };
  }

  /**
   * Takes over what the model gave for a part.
   * @param state begins with [S] @param embeddings its new steps from step `at` on
   */
  commit(part: StreamPart, state: Float32Array, embeddings: HeldSteps, at: number): void {
    const { strideFrames, stateSize, steps } = this.shape;
    const { slot, frames, before } = part;
    const fresh = frames / strideFrames;
    this.states.set(state.subarray(0, stateSize), slot * stateSize);
    const untilEnd = Math.min(fresh, steps - part.next);
    copySteps(embeddings, at, untilEnd, this.embeddings, slot * steps + part.next);
    copySteps(embeddings, at + untilEnd, fresh - untilEnd, this.embeddings, slot * steps);
    this.#steps[slot] = Math.min(steps, before + fresh);
    this.#next[slot] = (part.next + fresh) % steps;
  }
}
