/** Installs the WebRTC peers from Debian where it may, and says loudly which tests are skipped without them. */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

const runs = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** Debian's own: others do not see its packages. */
export const PYTHON = "/usr/bin/python3";

/** What is needed, how to tell that it is there, and Debian's packages. */
const PEERS = {
  GStreamer: {
    packages: [
      "gstreamer1.0-nice",
      "gstreamer1.0-plugins-bad",
      "gstreamer1.0-plugins-good",
      "gstreamer1.0-tools",
      "python3-gi",
      "gir1.2-gst-plugins-bad-1.0",
    ],
    isThere: () => runs("gst-inspect-1.0", "--exists", "webrtcbin") && runs(PYTHON, "-c", "import gi"),
  },
  coturn: { packages: ["coturn"], isThere: () => runs("turnserver", "--version") },
} as const;

type WebRtcPeer = keyof typeof PEERS;

/** Why the tests that need `peer` are skipped; undefined when they run. */
export const peerMissing = (peer: WebRtcPeer): string | undefined =>
  PEERS[peer].isThere() ? undefined : `It takes Debian's ${PEERS[peer].packages.join(", ")}.`;

/** node-datachannel brings its binary as an optional package; test/peers/mediasoup/setup.ts installs both. */
export function dataChannelMissing(): string | undefined {
  try {
    createRequire(import.meta.url)("node-datachannel");
    return undefined;
  } catch (error) {
    return `node-datachannel does not load: ${error instanceof Error ? error.message : error}`;
  }
}

export function setup(): void {
  const missing = (Object.keys(PEERS) as WebRtcPeer[]).filter((peer) => peerMissing(peer) !== undefined);
  if (missing.length === 0) return;
  const packages = missing.flatMap((peer) => PEERS[peer].packages);
  if (process.platform === "linux" && process.getuid?.() === 0) {
    console.log(`installing ${packages.join(", ")} …`);
    const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    spawnSync("apt-get", ["update", "-qq"], options);
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], options);
  }
  for (const peer of missing) {
    const reason = peerMissing(peer);
    if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against the real ${peer}. ${reason}\n`);
  }
}
