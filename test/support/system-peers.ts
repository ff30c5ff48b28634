/**
 * Real programs that tests talk to, from Debian: finds them, installs them where this process may, and says loudly which
 * tests are skipped. Peers from npm are npm-packages.ts.
 */
import { spawnSync } from "node:child_process";
import { networkInterfaces } from "node:os";

interface Program {
  /** Debian's. */
  readonly packages: readonly string[];
  readonly isThere: () => boolean;
  /** Its ICE takes no 127.0.0.1: it needs another address of this machine. */
  readonly needsAddress?: true;
}

const runs = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** For programs whose exit status is not 0 when they only say who they are. */
const says = (command: string, option: string, word: string): boolean =>
  spawnSync(command, [option], { encoding: "utf8" }).stdout?.includes(word) === true;

const hasElement = (name: string): boolean => runs("gst-inspect-1.0", "--exists", name);

/** Debian's own: others do not see its packages. */
export const PYTHON = "/usr/bin/python3";

const PROGRAMS = {
  ffmpeg: { packages: ["ffmpeg"], isThere: () => runs("ffmpeg", "-version") },
  chromium: { packages: ["chromium"], isThere: () => runs("chromium", "--version") },
  sipp: { packages: ["sip-tester"], isThere: () => says("sipp", "-v", "SIPp") },
  baresip: { packages: ["baresip-core"], isThere: () => says("baresip", "-h", "baresip") },
  kamailio: { packages: ["kamailio"], isThere: () => runs("kamailio", "-v") },
  coturn: { packages: ["coturn"], isThere: () => runs("turnserver", "--version") },
  janus: { packages: ["janus"], isThere: () => runs("janus", "--help"), needsAddress: true },
  firefox: {
    packages: ["firefox-esr", "pulseaudio"],
    isThere: () => runs("firefox-esr", "--version") && runs("pulseaudio", "--version"),
    needsAddress: true,
  },
  "gst-launch": {
    packages: ["gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"],
    isThere: () => hasElement("rtpopuspay") && hasElement("opusenc"),
  },
  webrtcbin: {
    packages: [
      "gstreamer1.0-nice",
      "gstreamer1.0-plugins-bad",
      "gstreamer1.0-plugins-good",
      "gstreamer1.0-tools",
      "python3-gi",
      "gir1.2-gst-plugins-bad-1.0",
    ],
    isThere: () => hasElement("webrtcbin") && runs(PYTHON, "-c", "import gi"),
  },
} as const satisfies Readonly<Record<string, Program>>;

export type Peer = keyof typeof PROGRAMS;

/** Whether tests can talk to it: `describe.skipIf(!hasPeer("ffmpeg"))`. */
export const hasPeer = (peer: Peer): boolean => whyNot(peer) === undefined;

/** An IPv4 address of this machine besides 127.0.0.1. What is sent there does not leave the machine either. */
export const ownAddress = (): string | undefined =>
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

/** Installs what is missing, where this process may, and says loudly what still is. */
export function preparePeers(peers: readonly Peer[]): void {
  const missing = peers.filter((peer) => !PROGRAMS[peer].isThere());
  installFromDebian([...new Set(missing.flatMap((peer): readonly string[] => PROGRAMS[peer].packages))]);
  for (const peer of peers) {
    const reason = whyNot(peer);
    if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against the real ${peer}. ${reason}\n`);
  }
}

/** vitest's global setup: runs once before all test files. */
export const setup = (): void => preparePeers(["ffmpeg", "chromium", "sipp"]);

function whyNot(peer: Peer): string | undefined {
  const { packages, isThere, needsAddress }: Program = PROGRAMS[peer];
  if (!isThere()) {
    return `It is not installed, and this user may not install it. On Debian: sudo apt-get install ${packages.join(" ")}`;
  }
  if (needsAddress && ownAddress() === undefined) return "It needs a network interface besides lo.";
  return undefined;
}

function installFromDebian(packages: readonly string[]): void {
  if (packages.length === 0 || process.platform !== "linux" || process.getuid?.() !== 0) return;
  console.log(`installing ${packages.join(", ")} for the tests that talk to real peers …`);
  const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
  spawnSync("apt-get", ["update", "-qq"], options);
  spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], options);
}
