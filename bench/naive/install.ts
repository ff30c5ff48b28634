/** Brings the packages of the literal wiring in, when they are first needed. Exact versions: package-lock.json beside this. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../../src/core/errors.ts";

/** @throws TonetapError unavailable when npm fails. */
export function installNaivePeer(): void {
  if (existsSync(new URL("./node_modules/.package-lock.json", import.meta.url))) return;
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const args = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status } = spawnSync("npm", args, { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new TonetapError("unavailable", `npm ${args.join(" ")} failed with ${status}`);
}
