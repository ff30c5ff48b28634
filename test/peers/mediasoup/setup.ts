/** Has mediasoup's worker built, once, and says loudly where that cannot be done. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const BUILD = fileURLToPath(new URL("../../../scripts/build-mediasoup-worker.sh", import.meta.url));

/** Whether the tests that need the worker can run. */
export const hasMediasoup = (): boolean => process.env.MEDIASOUP_WORKER_BIN !== undefined;

export function setup(): void {
  if (hasMediasoup()) return;
  const build = spawnSync("bash", [BUILD], { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  if (build.status === 0) process.env.MEDIASOUP_WORKER_BIN = build.stdout.trim();
  else
    console.warn(
      "\n*** SKIPPED: every test against the real mediasoup. scripts/build-mediasoup-worker.sh could not build its worker (see above).\n",
    );
}
