/** `npm run bench -- NAME`: picks the benchmark. Each is a file or folder of its own; what it can be asked for is benches.ts. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../src/core/errors.ts";
import { usageOf } from "./arguments.ts";
import { BENCHES } from "./benches.ts";

const SCRIPTS: Readonly<Record<string, string>> = {
  memory: "./memory.ts",
  features: "./features.ts",
  inference: "./inference.ts",
  doors: "./doors/doors-bench.ts",
  events: "./events/events-bench.ts",
  tracing: "./tracing.ts",
  page: "./page.ts",
};

const USAGE = [
  ...BENCHES.map(({ name, about }) => `npm run bench -- ${name.padEnd(11)}${about}`),
  "npm run bench -- NAME --help   what one of them can be asked for",
].join("\n");

/** @returns the exit code */
async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === "help" || isHelp(name)) {
    console.log(USAGE);
    return 0;
  }
  const bench = BENCHES.find((one) => one.name === name);
  if (bench === undefined) {
    console.error(`bench: there is no ${name}\n\n${USAGE}`);
    return 2;
  }
  if (args.some(isHelp)) {
    console.log(usageOf(bench));
    return 0;
  }
  const script = SCRIPTS[name];
  if (script !== undefined) return runScript(new URL(script, import.meta.url), args, flagsOf(name));
  const { runLive } = await import("./live/live-command.ts");
  await runLive(args);
  return 0;
}

const isHelp = (arg: string): boolean => arg === "--help" || arg === "-h";

// The young generation grows with the work, not with who is there: 48 MB would hide 50 participants.
const flagsOf = (name: string): string[] => (name === "memory" ? ["--max-semi-space-size=2"] : []);

/** In a process of its own: nothing that ran before warms it up. */
function runScript(script: URL, args: readonly string[], flags: readonly string[]): number {
  const { status } = spawnSync(process.execPath, ["--expose-gc", ...flags, fileURLToPath(script), ...args], {
    stdio: "inherit",
  });
  return status ?? 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof TonetapError || (error instanceof TypeError && "code" in error);
  console.error(known ? `bench: ${error.message}` : error);
  process.exitCode = 1;
}
