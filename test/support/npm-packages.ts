/** Whether a folder's node_modules holds what its lock names; installs it when not. Debian's programs are system-peers.ts. */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** package-lock.json, and node_modules/.package-lock.json, npm's record of what it has installed. */
export interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly optional?: boolean }>
  >;
}

/** @returns why `folder`/node_modules is not what its lock names; undefined when it is, perhaps only now */
export function prepareNpmPackages(folder: string): string | undefined {
  const modules = join(folder, "node_modules");
  const record = join(modules, ".package-lock.json");
  const [wanting] = existsSync(record)
    ? differences(read(join(folder, "package-lock.json")), read(record))
    : ["everything"];
  if (wanting === undefined) return undefined;
  // npm ci empties the folder first: through a link, that of another checkout.
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    return `${modules} is a link to a folder that lacks ${wanting}; npm ci there, or remove the link.`;
  }
  console.log(`installing ${folder} …`);
  // --ignore-scripts: mediasoup's own would download a worker.
  const npm = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"];
  return spawnSync("npm", npm, { stdio: "inherit" }).status === 0
    ? undefined
    : `npm could not install ${folder}.`;
}

/**
 * By content, not by time: a checkout, a copy or a link makes the lock newer than what was installed from it.
 * Optional packages of other systems may be missing.
 */
export function differences({ packages: wanted }: Lock, { packages: installed }: Lock): string[] {
  return Object.entries(wanted).flatMap(([path, { version, integrity, optional }]) => {
    if (path === "") return [];
    const there = installed[path];
    const isRight =
      there === undefined ? optional === true : there.version === version && there.integrity === integrity;
    return isRight ? [] : [`${path.replace(/^.*node_modules\//, "")}@${version}`];
  });
}

const read = (file: string): Lock => JSON.parse(readFileSync(file, "utf8")) as Lock;
