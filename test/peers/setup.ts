/** What `npm run test:peers` has besides `npm test`: Debian's programs, and the packages of package.json beside this. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { prepareNpmPackages } from "../support/npm-packages.ts";
import { preparePeers } from "../support/system-peers.ts";

export function setup(): void {
  preparePeers(["firefox", "janus", "coturn", "gst-launch", "webrtcbin", "baresip", "kamailio"]);
  const reason = prepareNpmPackages(fileURLToPath(new URL(".", import.meta.url)));
  if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against a peer from npm. ${reason}\n`);
}

/** Whether node-datachannel is there: it brings its binary as an optional package. Tried in a process of its own. */
export function hasDataChannel(): boolean {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["-e", `require("node-datachannel"); console.log("loaded"); process.kill(process.pid, "SIGKILL");`],
    { cwd: fileURLToPath(new URL(".", import.meta.url)), encoding: "utf8" },
  );
  if (stdout.includes("loaded")) return true;
  console.warn(`\n*** SKIPPED: every test against node-datachannel. ${stderr}\n`);
  return false;
}
