/** Loads kernel.wasm, which lies beside this file in src and in dist. Built by scripts/build-kernel.ts. */
import { readFileSync } from "node:fs";

// TypeScript has WebAssembly's types only in its DOM library. These are the few that are used.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => KernelMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: unknown };
};

export const PAGE_BYTES = 65_536;

export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  /** Adds pages. @throws RangeError when there is no room. */
  grow(pages: number): number;
}

/** assembly/index.ts, with the plan at address 0. Addresses are bytes. */
export interface KernelExports {
  analyse(plan: number, pcm: number, ring: number, group: number): void;
  gather(plan: number, ring: number, first: number, count: number, out: number): void;
}

let compiled: object | undefined;

/** A new instance with a memory of its own. */
export function instantiateKernel(
  pages: number,
  maxPages: number,
): { readonly memory: KernelMemory; readonly exports: KernelExports } {
  compiled ??= new WebAssembly.Module(readFileSync(new URL("./kernel.wasm", import.meta.url)));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: maxPages });
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  return { memory, exports: instance.exports as KernelExports };
}
