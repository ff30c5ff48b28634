import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { differences, type Lock, prepareNpmPackages } from "./npm-packages.ts";

const LOCK: Lock = {
  packages: {
    "": { version: "1.0.0" },
    "node_modules/ws": { version: "8.0.0", integrity: "sha512-a" },
    "node_modules/ws/node_modules/ms": { version: "2.0.0", integrity: "sha512-b" },
    "node_modules/@esbuild/aix-ppc64": { version: "0.28.2", integrity: "sha512-c", optional: true },
  },
};
const { "": _, "node_modules/@esbuild/aix-ppc64": __, ...INSTALLED } = LOCK.packages;

test("what the lock names is compared by content: 1 package missing, 1 of another version, 1 of other bytes, 0 for another system", () => {
  const { "node_modules/ws": ws, ...others } = INSTALLED;

  expect(differences(LOCK, { packages: INSTALLED })).toEqual([]);
  expect(differences(LOCK, { packages: others })).toEqual(["ws@8.0.0"]);
  const changed = (change: object) => ({ packages: { ...others, "node_modules/ws": { ...ws, ...change } } });
  expect(differences(LOCK, changed({ version: "7.9.9" }))).toEqual(["ws@8.0.0"]);
  expect(differences(LOCK, changed({ integrity: "sha512-x" }))).toEqual(["ws@8.0.0"]);
});

test("a lock 1 h newer than what was installed from it installs nothing, and a linked folder is never emptied", () => {
  const folder = mkdtempSync(join(tmpdir(), "tonetap-npm-"));
  try {
    mkdirSync(join(folder, "elsewhere"));
    symlinkSync("elsewhere", join(folder, "node_modules"));
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify(LOCK));
    const record = join(folder, "elsewhere", ".package-lock.json");
    writeFileSync(record, JSON.stringify({ packages: INSTALLED }));
    const hourAgo = Date.now() / 1_000 - 3_600;
    utimesSync(record, hourAgo, hourAgo);
    expect(prepareNpmPackages(folder)).toBeUndefined();

    writeFileSync(record, JSON.stringify({ packages: {} }));
    expect(prepareNpmPackages(folder)).toContain("is a link to a folder that lacks ws@8.0.0");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
