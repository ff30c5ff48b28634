/** How far the heap of a process of ours may grow before V8 looks through all of it. A library leaves that to its host: only serve.ts calls this. */
import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap grow to twice what is alive before it is marked as a whole. Every packet's PCM is memory outside the heap
 * (libopus-wasm gives a new array each time), which V8's own limit counts: with 250 participants it marked all of the heap
 * twice a second, 13 % of the CPU. Now it does so every few seconds, for some 30 MB.
 */
export function relaxHeapLimit(): void {
  setFlagsFromString("--heap-growing-percent=100");
}
