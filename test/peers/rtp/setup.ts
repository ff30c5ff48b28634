/** Installs the RTP peers from Debian where it may, and says loudly which tests are skipped without them. */
import { spawnSync } from "node:child_process";

const runs = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** What is needed, how to tell that it is there, and Debian's packages. */
const PEERS = {
  GStreamer: {
    packages: ["gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"],
    isThere: () =>
      runs("gst-inspect-1.0", "--exists", "rtpopuspay") && runs("gst-inspect-1.0", "--exists", "opusenc"),
  },
  Janus: { packages: ["janus"], isThere: () => runs("janus", "--help") },
} as const;

type RtpPeer = keyof typeof PEERS;

/** Why the tests that need `peer` are skipped; undefined when they run. */
export const rtpPeerMissing = (peer: RtpPeer): string | undefined =>
  PEERS[peer].isThere() ? undefined : `It takes Debian's ${PEERS[peer].packages.join(", ")}.`;

export function setup(): void {
  const missing = (Object.keys(PEERS) as RtpPeer[]).filter((peer) => rtpPeerMissing(peer) !== undefined);
  if (missing.length === 0) return;
  const packages = missing.flatMap((peer) => PEERS[peer].packages);
  if (process.platform === "linux" && process.getuid?.() === 0) {
    console.log(`installing ${packages.join(", ")} …`);
    const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    spawnSync("apt-get", ["update", "-qq"], options);
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], options);
  }
  for (const peer of missing) {
    const reason = rtpPeerMissing(peer);
    if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against the real ${peer}. ${reason}\n`);
  }
}
