/** The process itself: what it says to wrong words, and how it ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

/** Runs it to its end; once its output holds `enough`, we leave, or send SIGINT. */
async function run(
  args: readonly string[],
  enough?: string,
  then: "leave" | "SIGINT" = "leave",
  environment: Readonly<Record<string, string>> = {},
) {
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  let told = false;
  child.stdout.on("data", (text: Buffer) => {
    out += text;
    if (told || enough === undefined || !out.includes(enough)) return;
    told = true;
    if (then === "leave") child.stdout.destroy();
    else child.kill(then);
  });
  child.stderr.on("data", (text: Buffer) => {
    err += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

describe("the command line", { concurrent: true }, () => {
  test("10 wrong ones end with 64 and name what is wrong in 1 line", async () => {
    const wrong: [string[], string][] = [
      [["toString"], "tonetap: there is no command toString\n"],
      [["serve", "--nope"], "tonetap: unknown option --nope (tonetap serve --help)\n"],
      [["serve", "-x"], "tonetap: Unknown option '-x' (tonetap serve --help)\n"],
      [["serve", "--model-delay", "3"], "unknown option --model-delay, did you mean --model-max-delay-ms?"],
      [["serve", "--polcy", "eu"], "unknown option --polcy, did you mean --policy?"],
      [["serve", "now"], "tonetap: serve does not know what to do with now (tonetap serve --help)\n"],
      [
        ["listen", "http://a", "b"],
        "tonetap: listen does not know what to do with b (tonetap listen --help)\n",
      ],
      [["config", "--policy", "us"], 'must be one of eu, none, got "us"'],
      [["analyze"], "analyze needs at least one file"],
      [
        ["config", "--window-hop-ms", "-3"],
        "tonetap: Option '--window-hop-ms' takes a value that begins with - after =, as in --x=-3 (tonetap config --help)\n",
      ],
    ];
    for (const [args, words] of wrong) {
      const { code, err } = await run(args);
      expect(code, args.join(" ")).toBe(64);
      expect(err).toContain(words);
      expect(err).not.toContain("    at ");
    }
  });

  test("config prints 0 of 2 secrets, and that they are set", async () => {
    const secrets = { TONETAP_WHIP_TOKENS: "hush-hush-hush-hush", TONETAP_WHIP_TURN_CREDENTIAL: "x" };
    const { code, out } = await run(
      ["config", "--whip-turn-credential", "hush", "--whip-turn-username", "me"],
      undefined,
      "leave",
      secrets,
    );
    expect(code).toBe(0);
    expect(out).not.toContain("hush");
    expect(out.match(/^whip\.\w+ +\(secret\) +(environment|flag)$/gm)).toHaveLength(2);
  });

  test("a port in use ends with 1, and 1 line says how to take another", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const { code, err } = await run(["serve", "--model-device", "cpu", "--service-port", String(port)]);
    other.close();
    expect(err).toBe(`tonetap: port ${port} is taken; --service-port takes another, 0 any that is free\n`);
    expect(code).toBe(1);
  });

  test("a reader who leaves after 1 event ends demo and analyze with 0 and without a word", async () => {
    const demo = await run(["demo", "--model-device", "cpu", "--service-port", "0"], "participant.joined");
    expect(demo).toMatchObject({ code: 0, err: "" });
    const file = fileURLToPath(new URL("../assets/demo/anna.opus", import.meta.url));
    const analyze = await run(["analyze", "--json", "--model-device", "cpu", file], "tonetap.emotion");
    expect(analyze).toMatchObject({ code: 0, err: "" });
  });

  test("1 SIGINT ends a service that is up with 0 and without a complaint, having said where it takes SIP", async () => {
    const sip = ["--sip-transports", "udp,tcp", "--sip-port", "0"];
    const { code, err, out } = await run(
      ["serve", "--model-device", "cpu", "--service-port", "0", ...sip],
      "SIP     udp",
      "SIGINT",
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.match(/^SIP {5}(?:udp|tcp) 127\.0\.0\.1:[0-9]+$/gm)).toHaveLength(2);
  });

  test("listening beyond this machine without keys ends with 1 and says how; told that anyone may, it is 1 warning", async () => {
    const serve = (...more: string[]) =>
      run(["serve", "--model-device", "cpu", "--service-port", "0", ...more], "WHIP", "SIGINT");
    const refused = await serve("--service-host", "0.0.0.0");
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("give auth.keysFile");
    const open = await serve("--service-host", "0.0.0.0", "--auth-anonymous", "anyone");
    expect(open.out.match(/Nobody is asked/g)).toHaveLength(1);
  });
});
