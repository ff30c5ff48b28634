/** `npm run conformance` as the author of a client or a proxy runs it, against a whole service. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Service } from "../../src/service.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/conformance.ts", import.meta.url));

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", SCRIPT, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

test("a running service conforms: 12 checks, exit code 0; without an address it says how it is used", async () => {
  await using service = await Service.open({
    service: { port: 0 },
    model: { device: "cpu" },
    events: { statsMs: 200 },
  });
  const [checked, bare] = await Promise.all([run(service.url.href), run()]);

  expect(checked.err).toBe("");
  expect(checked.out.match(/^ok {6}/gm)).toHaveLength(12);
  expect(checked.out.trimEnd().split("\n").at(-1)).toBe("conforms");
  expect(checked.code).toBe(0);
  expect(bare).toEqual({ code: 64, out: "", err: "usage: npm run conformance -- ws://127.0.0.1:8080\n" });
});
