/** `npm start -- --once`, as a newcomer runs it: its own process, the bundled call in real time. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** A busy machine answers late, and would leave windows out; what is counted here is that each is answered. */
const PATIENT = ["--model-deadline-ms", "60000", "--overload-control", "off"];
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test("npm start speaks within 90 s, on a machine however busy, and with --once ends with code 0 and a summary of 2 voices", async () => {
  const startedMs = performance.now();
  const demo = spawn("npm", ["start", "--", "--once", "--service-port", "0", ...PATIENT], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => demo.on("exit", resolve));
  const lines: string[] = [];
  let firstEventMs = Number.POSITIVE_INFINITY;
  for await (const line of createInterface(demo.stdout)) {
    if (/ emotion /.test(line)) firstEventMs = Math.min(firstEventMs, performance.now() - startedMs);
    lines.push(line);
  }

  expect(await exited).toBe(0);
  expect(firstEventMs).toBeLessThan(90_000);
  const summary = lines.slice(lines.findIndex((line) => line.startsWith("1 call(s)"))).join("\n");
  for (const name of ["Anna", "Ben"]) expect(summary).toMatch(new RegExp(`${name} +[a-z]+ \\d+ %`));
  // 73.8 s of two voices, a window every half second: nothing dropped, nothing left out.
  const windows = [...summary.matchAll(/(\d+) emitted, (\d+) abstained, (\d+) gated, (\d+) dropped/g)];
  expect(windows).toHaveLength(2);
  for (const [, emitted, abstained, gated, dropped] of windows) {
    expect(Number(emitted) + Number(abstained) + Number(gated)).toBe(147);
    expect(Number(dropped)).toBe(0);
  }
});
