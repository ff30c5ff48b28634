/** What `npm run test:peers` has besides `npm test`: Debian's programs, and the packages of package.json beside this. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { prepareNpmPackages } from "../support/npm-packages.ts";
import { preparePeers } from "../support/system-peers.ts";

export function setup(): void {
  preparePeers(["firefox", "janus", "coturn", "gst-launch", "webrtcbin", "baresip", "kamailio"]);
  const reason = prepareNpmPackages(fileURLToPath(new URL(".", import.meta.url)));
  if (reason !== undefined) console.warn(`\n*** SKIPPED: every test against a peer from npm. ${reason}\n`);
}

/** Whether node-datachannel is there: it brings its binary as an optional package. */
export function hasDataChannel(): boolean {
  try {
    createRequire(import.meta.url)("node-datachannel");
    return true;
  } catch (error) {
    console.warn(`\n*** SKIPPED: every test against node-datachannel. ${error}\n`);
    return false;
  }
}
