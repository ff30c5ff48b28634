/** Installs mediasoup beside the tests, has its worker built, installs Firefox; once, and says loudly what is missing. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FIREFOX_PACKAGES, hasFirefox } from "../firefox.ts";

const PEERS = fileURLToPath(new URL("../", import.meta.url));
const BUILD = fileURLToPath(new URL("../../../scripts/build-mediasoup-worker.sh", import.meta.url));

/** Why the tests that need the worker are skipped; undefined when they run. */
export const mediasoupMissing = (): string | undefined => process.env.TONETAP_MEDIASOUP_MISSING;

/** Why the tests that need Firefox are skipped; undefined when they run. */
export const firefoxMissing = (): string | undefined =>
  hasFirefox() ? undefined : `It takes Debian's ${FIREFOX_PACKAGES.join(" and ")}.`;

export function setup(): void {
  prepareFirefox();
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

function prepareFirefox(): void {
  if (firefoxMissing() === undefined) return;
  if (process.platform === "linux" && process.getuid?.() === 0) {
    console.log(`installing ${FIREFOX_PACKAGES.join(", ")} …`);
    const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    spawnSync("apt-get", ["update", "-qq"], options);
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...FIREFOX_PACKAGES], options);
  }
  const reason = firefoxMissing();
  if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against the real Firefox. ${reason}\n`);
}

/** npm writes this file when it has installed what the lock says. */
function installed(): boolean {
  const done = `${PEERS}node_modules/.package-lock.json`;
  return existsSync(done) && statSync(done).mtimeMs >= statSync(`${PEERS}package-lock.json`).mtimeMs;
}
