import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { hasMediasoup } from "./setup.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

test.skipIf(!hasMediasoup())(
  "mediasoup 3.27's own types fit ours, and the tests beside this one: the compiler finds 0 errors",
  () => {
    const tsc = [`${ROOT}node_modules/typescript/bin/tsc`, "-p", `${ROOT}test/peers/tsconfig.json`];

    const { stdout, status } = spawnSync(process.execPath, tsc, { encoding: "utf8" });

    expect(stdout).toBe("");
    expect(status).toBe(0);
  },
);
