/** One instance of the WASM kernel: its memory, and the slots that participants take in it. */
import { TonetapError } from "../../core/errors.ts";
import type { FeatureSpec } from "../../core/feature-spec.ts";
import { instantiateKernel, type KernelExports, type KernelMemory, PAGE_BYTES } from "./kernel-module.ts";
import { type KernelPlan, kernelPlan } from "./kernel-plan.ts";

/** The plan's address. */
export const PLAN = 0;
/** 1 GiB: some 25,000 participants of the default spec on one thread. */
const MAX_PAGES = 16_384;
/** Memory grows by about this much at a time, and by one slot at least. */
const STEP_BYTES = 1 << 20;

export class FeatureKernel {
  readonly plan: KernelPlan;
  readonly exports: KernelExports;
  readonly #memory: KernelMemory;
  #floats: Float32Array;
  /** Addresses given back and those of the last growth not yet given out. */
  readonly #free: number[] = [];
  #slotsEnd: number;
  #inUse = 0;
  /** Which frames of which slot lie in the staging area; −1: none. */
  #stagedSlot = -1;
  #stagedFirst = 0;
  #stagedCount = 0;

  constructor(spec: FeatureSpec, capacity: number) {
    this.plan = kernelPlan(spec, capacity);
    this.#slotsEnd = this.plan.slotsStart;
    const { memory, exports } = instantiateKernel(Math.ceil(this.#slotsEnd / PAGE_BYTES), MAX_PAGES);
    this.#memory = memory;
    this.exports = exports;
    new Uint8Array(memory.buffer).set(this.plan.image);
    this.#floats = new Float32Array(memory.buffer);
  }

  /** The whole memory as float32. Never keep it: growth replaces it. */
  get floats(): Float32Array {
    return this.#floats;
  }

  get slotsInUse(): number {
    return this.#inUse;
  }

  /** A slot full of zeros: its address. @throws TonetapError overloaded when the memory's limit is reached. */
  acquire(): number {
    if (this.#free.length === 0) this.#grow();
    const slot = this.#free.pop();
    if (slot === undefined) throw new TonetapError("internal", "the feature kernel grew but has no slot");
    this.#inUse++;
    return slot;
  }

  /** Gives a slot back, overwritten with zeros. */
  release(slot: number): void {
    this.wipe(slot);
    this.#free.push(slot);
    this.#inUse--;
  }

  /**
   * All features of frames [first, first + count) of a slot, channel after channel. They must be held.
   * @returns where they begin in {@link floats}: valid until the next call
   */
  gather(slot: number, first: number, count: number): number {
    // What is new is read twice at a tick: to learn from it, and for the window.
    if (slot !== this.#stagedSlot || first !== this.#stagedFirst || count !== this.#stagedCount) {
      this.exports.gather(PLAN, slot, first, count, this.plan.staging);
      this.#stagedSlot = slot;
      this.#stagedFirst = first;
      this.#stagedCount = count;
    }
    return this.plan.staging / 4;
  }

  /** Frame numbers of a slot begin anew. */
  restart(slot: number): void {
    if (slot === this.#stagedSlot) this.#stagedSlot = -1;
  }

  /** Overwrites a slot, and what any call has left in the work space, with zeros. */
  wipe(slot: number): void {
    this.#stagedSlot = -1;
    this.#floats.fill(0, slot / 4, (slot + this.plan.slotBytes) / 4);
    this.#floats.fill(0, this.plan.workStart / 4, this.plan.workEnd / 4);
  }

  #grow(): void {
    const { slotBytes } = this.plan;
    const end = this.#slotsEnd + Math.ceil(STEP_BYTES / slotBytes) * slotBytes;
    const pages = Math.ceil(end / PAGE_BYTES) - this.#memory.buffer.byteLength / PAGE_BYTES;
    try {
      this.#memory.grow(pages);
    } catch (cause) {
      const message = `no memory for more feature extractors: ${this.#inUse} are in use on this thread`;
      throw new TonetapError("overloaded", message, { cause });
    }
    this.#floats = new Float32Array(this.#memory.buffer);
    for (let slot = end - slotBytes; slot >= this.#slotsEnd; slot -= slotBytes) this.#free.push(slot);
    this.#slotsEnd = end;
  }
}

/** Kernels of this thread that may be unused: what they cost to build is worth keeping, their memory only up to a point. */
const MAX_IDLE_KERNELS = 4;
const kernels = new Map<string, FeatureKernel>();

/** This thread's kernel for a spec and capacity; participants share it. */
export function kernelFor(spec: FeatureSpec, capacity: number): FeatureKernel {
  const key = JSON.stringify([capacity, ...Object.entries(spec).sort(([a], [b]) => (a < b ? -1 : 1))]);
  const kernel = kernels.get(key) ?? new FeatureKernel(spec, capacity);
  // Map keeps the order of insertion: the one used last goes to the end.
  kernels.delete(key);
  kernels.set(key, kernel);
  const idle = [...kernels].filter(([other, { slotsInUse }]) => other !== key && slotsInUse === 0);
  for (const [other] of idle.slice(0, -MAX_IDLE_KERNELS)) kernels.delete(other);
  return kernel;
}
