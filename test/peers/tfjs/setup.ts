/** Builds TensorFlow.js's native binding for the tests, once, and says loudly where that cannot be done. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const BUILD = fileURLToPath(new URL("../../../scripts/build-tfjs-binding.sh", import.meta.url));

/** The folder whose node_modules holds the packages. */
export const PACKAGES = fileURLToPath(new URL("../", import.meta.url));

/** Why the tests that need the native binding are skipped; undefined when they run. */
export const tfjsNativeMissing = (): string | undefined => process.env.TONETAP_TFJS_NATIVE_MISSING;

export function setup(): void {
  const build = spawnSync("bash", [BUILD], { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  // TensorFlow greets on stderr otherwise; the threads' own environment does not reach it.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
  if (build.status === 0) return;
  process.env.TONETAP_TFJS_NATIVE_MISSING =
    "scripts/build-tfjs-binding.sh could not build TensorFlow.js's native binding (see above).";
  console.warn(
    `\n*** SKIPPED: every test of TensorFlow.js's native binding. ${process.env.TONETAP_TFJS_NATIVE_MISSING}\n`,
  );
}
