/**
 * Builds src/stream/features/kernel.wasm from the AssemblyScript beside it: `node scripts/build-kernel.ts`.
 * The file is committed, so neither users nor tests need the compiler; a test rebuilds it and compares the bytes.
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { TonetapError } from "../src/core/errors.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FEATURES = "src/stream/features";

/** Compiles the kernel. The bytes depend on the sources and the pinned compiler only. */
export async function buildKernel(): Promise<Uint8Array> {
  const output = new Map<string, string | Uint8Array>();
  const { error, stderr } = await asc.main(
    [
      `${FEATURES}/assembly/index.ts`,
      ["--baseDir", ROOT],
      ["--outFile", "kernel.wasm"],
      ["-O3", "--noAssert"],
      ["--enable", "simd", "--enable", "bulk-memory"],
      // The memory is JavaScript's: src/stream/features/kernel-plan.ts lays it out. No heap, no start-up code.
      ["--runtime", "stub", "--importMemory", "--noExportMemory", "--initialMemory", "1"],
      ["--use", "abort="],
    ].flat(),
    { writeFile: (name, contents) => void output.set(name, contents) },
  );
  const wasm = output.get("kernel.wasm");
  if (error !== null || !(wasm instanceof Uint8Array)) {
    throw new TonetapError("internal", `the kernel does not compile:\n${stderr.toString()}`, {
      cause: error,
    });
  }
  return wasm;
}

if (import.meta.main) {
  const wasm = await buildKernel();
  await writeFile(new URL(`../${FEATURES}/kernel.wasm`, import.meta.url), wasm);
  console.log(`${FEATURES}/kernel.wasm: ${wasm.length} bytes`);
}
