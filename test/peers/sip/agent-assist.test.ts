/** examples/agent-assist as users start it: sipp calls as a customer and as an agent, terminal and page show the customer. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { launchChromium } from "../../support/chromium.ts";
import { hasPeer } from "../../support/system-peers.ts";

const path = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const PICTURE = path(".cache/pictures/agent-assist.png");
mkdirSync(dirname(PICTURE), { recursive: true });

/** Runs it with `--once`; `onLine` is told of every line while it runs. */
async function run(environment: Readonly<Record<string, string>>, onLine: (line: string) => void) {
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "--import",
      path("test/examples/from-source.ts"),
      path("examples/agent-assist/agent-assist.ts"),
      "--once",
    ],
    { env: { ...process.env, PORT: "0", SIP_PORT: "0", ...environment }, stdio: ["ignore", "pipe", "pipe"] },
  );
  let errors = "";
  child.stderr.on("data", (text: Buffer) => {
    errors += text;
  });
  const lines: string[] = [];
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    onLine(line);
  }
  return { code: await code, lines, errors };
}

const EXPECTED = [
  /^Page {6}http:\/\/127\.0\.0\.1:\d+\/#\/assist\/support-42$/,
  /^SIP {7}sip:tonetap@127\.0\.0\.1:\d+ \(UDP\)$/,
  /^Agent {5}refused with 403: the policy eu forbids to analyse the role agent$/,
  /^\d\d:\d\d:\d\d {2}Anna is here: customer, by sip$/,
  /^\d\d:\d\d:\d\d {4}said something for \d+\.\d s: angry$/,
  /^\d\d:\d\d:\d\d {2}ALERT The customer is angry: 0\.\d\d$/,
  /^\d\d:\d\d:\d\d {4}lately angry \d+ %; angry rising for \d+ s$/,
  /^\d\d:\d\d:\d\d {2}over: The customer is angry, after \d+ s$/,
  /^\d\d:\d\d:\d\d {2}the call is over$/,
  /^Customer {2}was heard to the end, and hung up$/,
];

describe("the example of agent assist", () => {
  test.skipIf(!hasPeer("sipp") || !hasPeer("chromium"))(
    "sipp calls as a customer and an agent: 10 lines say how it goes, the page shows the angry customer and the alert",
    async () => {
      const browser = await launchChromium();
      const complaints: string[] = [];
      try {
        const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
        page.on("pageerror", (error) => complaints.push(error.message));
        let shown: Promise<unknown> = Promise.resolve();
        const { code, lines, errors } = await run({}, (line) => {
          if (line.startsWith("Page")) shown = page.goto(line.slice(10));
          if (!line.includes("ALERT")) return;
          shown = shown
            .then(() => page.locator(".glance .big", { hasText: "angry" }).waitFor())
            .then(() => page.locator(".alert-log", { hasText: "The customer is angry" }).waitFor())
            .then(() => page.screenshot({ path: PICTURE }));
        });
        await shown;

        expect({ code, errors }).toEqual({ code: 0, errors: "" });
        for (const pattern of EXPECTED) expect(lines).toContainEqual(expect.stringMatching(pattern));
        expect(complaints).toEqual([]);
      } finally {
        await browser.close();
      }
    },
  );

  test("where sipp is absent it says so in 2 lines, and its own telephone has the same 10 lines come", async () => {
    const { code, lines, errors } = await run({ PATH: "/nonexistent" }, () => undefined);

    expect(code).toBe(0);
    expect(errors.match(/^\*\*\* .+$/gm)).toHaveLength(2);
    for (const pattern of EXPECTED) expect(lines).toContainEqual(expect.stringMatching(pattern));
  });
});
