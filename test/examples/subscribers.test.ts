/** The examples that listen, as processes of their own, against a service that hears a voice. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Service } from "../../src/service.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, PATIENT_MODEL, recordedFrames, upTo } from "../engine/support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };
const example = (name: string): string => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

describe("examples that listen", () => {
  let service: Service;
  let child: ChildProcess | undefined;

  beforeAll(async () => {
    service = await Service.open({ service: { port: 0 }, model: PATIENT_MODEL });
  });
  afterEach(() => {
    child?.kill();
  });
  afterAll(() => service.close());

  /** Anna speaks until the first line that fits has come. */
  async function firstLine(process: ChildProcess, fits: RegExp): Promise<string> {
    child = process;
    if (process.stdout === null) throw new TypeError("the example's output is not piped");
    const lines = createInterface(process.stdout);
    const source = await attachUdp(service.engine, "anna", { callId: "c1", role: "customer" });
    const whole = await recordedFrames("anna");
    // From half a minute on she is angry.
    const angry = upTo(whole, 52_000).slice(upTo(whole, 30_000).length);
    // Again and again: on a busy machine an example takes its time to begin.
    const frames = Array.from({ length: 6 }, () => angry).flat();
    void sendImpaired(frames, source.address.port, CLEAN);
    try {
      for await (const line of lines) if (fits.test(line)) return line;
      throw new TypeError("the example ended without a word");
    } finally {
      lines.close();
      await source.close();
    }
  }

  test.skipIf(spawnSync("python3", ["--version"]).status !== 0)(
    "15 lines of Python print what a voice expresses",
    async () => {
      const python = spawn("python3", [example("subscribe.py"), service.url.href], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const line = await firstLine(python, /^c1 /);
      expect(line).toMatch(/^c1 anna [a-z]+ 0\.\d+$/);
    },
  );

  /** An example in a process of its own, on our sources. */
  const run = (file: string, stderr: "ignore" | "inherit") =>
    spawn(
      process.execPath,
      ["--import", new URL("from-source.ts", import.meta.url).href, example(file), service.url.href],
      { stdio: ["ignore", "pipe", stderr] },
    );

  test("10 lines of tonetap/client print what a voice expresses", async () => {
    const subscriber = run("subscribe.ts", "ignore");
    const line = await firstLine(subscriber, /^c1 /);
    expect(line).toMatch(/^c1 anna: [a-z]+ \d+ %, valence -?[01](\.\d+)?$/);
  });

  test("1 bot sets its rule and is told when it is broken", async () => {
    const bot = run("react-to-anger.ts", "inherit");
    const line = await firstLine(bot, /take over/);
    expect(line).toBe("c1: take over from the bot");
    expect(service.engine.alertRules.get("bot-anger").name).toBe("A customer is angry");
  });
});
