/// <reference lib="dom" />
/** The client in Chromium through real restarts of a real service, held against the service's own log. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchChromium } from "../support/chromium.ts";
import { hasPeer } from "../support/system-peers.ts";

const SERVER = fileURLToPath(new URL("restarting-server.ts", import.meta.url));
/** What the page asks for; the rest of the log is not its affair. */
const KINDS = ["call.started", "call.ended", "participant.joined", "participant.left"];

interface Seen {
  readonly ids: string[];
  readonly gaps: string[];
  readonly resumed: boolean[];
}

describe.skipIf(!hasPeer("chromium"))("the client in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "tonetap-restart-"));
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let server: ChildProcess | undefined;

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(async () => {
    server?.kill("SIGKILL");
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  const logFile = (name: string): string => join(folder, name);
  const logged = (name: string): string[] =>
    readFileSync(logFile(name), "utf8")
      .split("\n")
      .filter((line) => KINDS.includes(line.split(" ")[1] ?? ""))
      .map((line) => line.split(" ")[0] ?? "");

  async function start(port: string, log: string, ...more: string[]): Promise<string> {
    const child = fork(SERVER, [port, logFile(log), ...more], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    server = child;
    const [message] = await once(child, "message");
    return (message as { url: string }).url;
  }

  async function stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = server;
    if (child === undefined) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  test("loses nothing and has nothing twice over an orderly restart; of a crash it is told with 1 gap", async () => {
    const url = await start("0", "first", "wait");
    const { port } = new URL(url);
    const page = await browser.newPage();
    await page.goto(new URL("healthz", url).href);
    // A text: the test runner would rewrite the import of a function.
    await page.evaluate(`(async () => {
      const { connect } = await import("/client/index.js");
      const seen = { ids: [], gaps: [], resumed: [] };
      globalThis.seen = seen;
      const connection = connect(new URL("/", location.href), {
        filter: { kinds: ${JSON.stringify(KINDS)} },
        maxDelayMs: 500,
      });
      connection.on("event", ({ id }) => seen.ids.push(id));
      connection.on("gap", ({ reason }) => seen.gaps.push(reason));
      connection.on("status", (status) => {
        if (status.state === "open") seen.resumed.push(status.resumed);
      });
    })()`);
    const seen = (): Promise<Seen> => page.evaluate(() => (globalThis as unknown as { seen: Seen }).seen);
    const hasSeen = (count: number): Promise<void> =>
      expect.poll(async () => (await seen()).ids.length).toBeGreaterThan(count);

    await hasSeen(40);
    await stop("SIGTERM");
    const first = logged("first");
    // The second run speaks before anybody can be back.
    await start(port, "second");
    await hasSeen(first.length + 60);
    const { ids, gaps, resumed } = await seen();
    expect(gaps).toEqual([]);
    expect(resumed).toEqual([false, true]);
    const all = [...first, ...logged("second")];
    expect(ids.length).toBeGreaterThan(first.length + 60);
    expect(ids).toEqual(all.slice(0, ids.length));

    await stop("SIGKILL");
    await start(port, "third");
    await hasSeen((await seen()).ids.length + 40);
    const crashed = await seen();
    expect(crashed.gaps).toEqual(["restart"]);
    expect(new Set(crashed.ids).size).toBe(crashed.ids.length);
    // What came of the second run came in order from its start; the third is whole.
    const run = (log: string): [got: string[], said: string[]] => {
      const said = logged(log);
      const epoch = said[0]?.split("-")[0] ?? "";
      return [crashed.ids.filter((id) => id.startsWith(epoch)), said];
    };
    for (const log of ["first", "second", "third"]) {
      const [got, said] = run(log);
      expect(got.length).toBeGreaterThan(20);
      expect(got).toEqual(said.slice(0, got.length));
    }
    expect(crashed.ids).toEqual(crashed.ids.toSorted());
    await page.close();
  });
});
