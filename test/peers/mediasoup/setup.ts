/** Installs mediasoup beside the tests and has its worker built, once before all test files; says loudly why not. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PEERS = fileURLToPath(new URL("../", import.meta.url));
const BUILD = fileURLToPath(new URL("../../../scripts/build-mediasoup-worker.sh", import.meta.url));

/** Why the tests that need the worker are skipped; undefined when they run. */
export const mediasoupMissing = (): string | undefined => process.env.TONETAP_MEDIASOUP_MISSING;

export function setup(): void {
  const reason = prepare();
  if (reason === undefined) return;
  process.env.TONETAP_MEDIASOUP_MISSING = reason;
  console.warn(`\n*** SKIPPED: every test against the real mediasoup. ${reason}\n`);
}

function prepare(): string | undefined {
  if (!installed()) {
    console.log("installing test/peers …");
    // --ignore-scripts: mediasoup's own would download a worker.
    const npm = ["ci", "--prefix", PEERS, "--ignore-scripts", "--no-audit", "--no-fund"];
    if (spawnSync("npm", npm, { stdio: "inherit" }).status !== 0) return "npm could not install test/peers.";
  }
  if (process.env.MEDIASOUP_WORKER_BIN !== undefined) return undefined;
  const build = spawnSync("bash", [BUILD], { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  if (build.status !== 0) return "scripts/build-mediasoup-worker.sh could not build its worker (see above).";
  process.env.MEDIASOUP_WORKER_BIN = build.stdout.trim();
  return undefined;
}

/** npm writes this file when it has installed what the lock says. */
function installed(): boolean {
  const done = `${PEERS}node_modules/.package-lock.json`;
  return existsSync(done) && statSync(done).mtimeMs >= statSync(`${PEERS}package-lock.json`).mtimeMs;
}
