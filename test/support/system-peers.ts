/** Real peers that tests talk to: finds them, installs Debian's packages when it may, and says loudly what is missing. */
import { spawnSync } from "node:child_process";

/** Command → Debian package. */
const PEERS = { ffmpeg: "ffmpeg", chromium: "chromium" } as const;

export type Peer = keyof typeof PEERS;

/** Whether the command answers. Tests that need it use `describe.skipIf(!hasPeer("ffmpeg"))`. */
export function hasPeer(peer: Peer): boolean {
  return spawnSync(peer, [peer === "ffmpeg" ? "-version" : "--version"], { stdio: "ignore" }).status === 0;
}

/** vitest's global setup: runs once before all test files. */
export function setup(): void {
  const missing = (Object.keys(PEERS) as Peer[]).filter((peer) => !hasPeer(peer));
  if (missing.length === 0) return;
  const packages = missing.map((peer) => PEERS[peer]);
  if (process.platform === "linux" && process.getuid?.() === 0) {
    console.log(`installing ${packages.join(", ")} for the tests that talk to real peers …`);
    const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    spawnSync("apt-get", ["update", "-qq"], options);
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], options);
  }
  for (const peer of missing) {
    if (hasPeer(peer)) continue;
    console.warn(
      `\n*** SKIPPED: every test against the real ${peer}. It is not installed, and this user may not install it. ` +
        `On Debian: sudo apt-get install ${PEERS[peer]}\n`,
    );
  }
}
