/** The one V8 flag that the service sets. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

test("this Node knows the flag: 0 complaints", () => {
  const url = JSON.stringify(new URL("../src/heap-limit.ts", import.meta.url).href);
  const script = `const { relaxHeapLimit } = await import(${url}); relaxHeapLimit(); console.log("set");`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect(stdout).toBe("set\n");
  expect(stderr).not.toContain("unrecognized flag");
});
