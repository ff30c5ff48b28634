import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Bench, type BenchOptions, readArguments, usageOf } from "../../bench/arguments.ts";
import { BENCHES } from "../../bench/benches.ts";

const BENCH = {
  name: "x",
  about: "Measures x.",
  options: {
    rounds: { kind: "number", min: 1, max: 9, default: 3, says: "of each" },
    share: { kind: "number", min: 0.05, max: 1, says: "of the time" },
    loads: { kind: "numbers", min: 1, max: 100, says: "one after the other" },
    device: { kind: "choice", of: ["cpu", "cuda"], default: "cpu", says: "where" },
    json: { kind: "text", value: "FILE", says: "where the figures go" },
    write: { kind: "flag", says: "into the page" },
  },
} as const satisfies Bench<BenchOptions>;

describe("arguments of a benchmark", () => {
  test("6 kinds are read, and what is not given is its default or nothing", () => {
    const args = ["--rounds", "5", "--loads", "10,100", "--device", "cuda", "--json", "a.json", "--write"];
    expect(readArguments(BENCH, [...args, "--share", "0.4"])).toEqual({
      rounds: 5,
      share: 0.4,
      loads: [10, 100],
      device: "cuda",
      json: "a.json",
      write: true,
    });
    expect(readArguments(BENCH, [])).toEqual({ rounds: 3, device: "cpu", write: false });
  });

  test.each([
    [["--rounds", "10"], "--rounds must be a whole number, 1–9, got 10"],
    [["--rounds", "1.5"], "--rounds must be a whole number, 1–9, got 1.5"],
    [["--rounds", ""], "--rounds must be a whole number, 1–9, got "],
    [["--share", "much"], "--share must be 0.05–1, got much"],
    [["--loads", "1,,2"], "--loads must be a whole number, 1–100, got "],
    [["--device", "tpu"], "--device must be cpu or cuda, got tpu"],
    [["--colour"], "Unknown option '--colour'"],
    [["loud"], "Unexpected argument 'loud'"],
  ])("%j is 1 of 8 that are refused by name", (args, message) => {
    expect(() => readArguments(BENCH, args)).toThrow(message);
  });

  test("the help is 9 lines: what it is, and each of 7 options with its range and default", () => {
    expect(usageOf(BENCH).split("\n")).toEqual([
      "npm run bench -- x [options]",
      "  Measures x.",
      "",
      "  --rounds N         of each, 1–9 (default 3)",
      "  --share N          of the time, 0.05–1",
      "  --loads N,N        one after the other, 1–100",
      "  --device cpu|cuda  where (default cpu)",
      "  --json FILE        where the figures go",
      "  --write            into the page",
      "  --help             this",
    ]);
  });
});

/** @returns exit code and what was written */
function bench(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const script = fileURLToPath(new URL("../../bench/index.ts", import.meta.url));
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, ...args]);
  const said = { out: "", err: "" };
  child.stdout.on("data", (text) => {
    said.out += text;
  });
  child.stderr.on("data", (text) => {
    said.err += text;
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...said })));
}

describe("npm run bench", () => {
  test("names 8 benchmarks, and tells of each what it can be asked for", async () => {
    const help = await bench("--help");
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(BENCHES).toHaveLength(8);
    for (const { name, about } of BENCHES) expect(help.out).toContain(`bench -- ${name.padEnd(11)}${about}`);
    for (const one of BENCHES) {
      expect(usageOf(one).split("\n")).toHaveLength(4 + Object.keys(one.options).length);
      for (const option of Object.keys(one.options)) expect(usageOf(one)).toContain(`  --${option}`);
    }
    const inference = BENCHES.find(({ name }) => name === "inference");
    expect(inference).toBeDefined();
    expect(await bench("inference", "--rounds", "3", "--help")).toEqual({
      code: 0,
      out: inference && `${usageOf(inference)}\n`,
      err: "",
    });
  });

  test("ends with 2 for 2 requests that there is no answer to, and says what there is", async () => {
    const [option, name] = await Promise.all([bench("features", "--colour", "red"), bench("speed")]);
    expect([option.code, name.code]).toEqual([2, 2]);
    expect(option.err).toContain("bench features: Unknown option '--colour'");
    expect(option.err).toContain("npm run bench -- features [options]");
    expect(name.err).toContain("bench: there is no speed");
  });
});
