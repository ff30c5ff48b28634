/** `npm run bench -- NAME`: picks the benchmark. Each is a file or folder of its own. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../src/core/errors.ts";
import { LIVE_USAGE, runLive } from "./live/live-command.ts";

const USAGE = `${LIVE_USAGE}
npm run bench -- features    cost of a feature frame, three extractors in turns
npm run bench -- inference   cost of a window in the model
npm run bench -- doors       cost of a received packet, by the way that it comes in
npm run bench -- events      1,000 subscribers to the events of 500 participants
npm run bench -- tracing     what traces cost an event, without an SDK and with one
npm run bench -- memory      what a participant holds in memory beyond its transport
npm run bench -- page        frame times of the page with 50 participants, in Chromium`;

/** @returns the exit code */
async function main([name, ...args]: readonly string[]): Promise<number> {
  switch (name) {
    case "live":
      await runLive(args);
      return 0;
    case "memory":
      // The young generation grows with the work, not with who is there: 48 MB would hide 50 participants.
      return runScript(new URL("./memory.ts", import.meta.url), args, ["--max-semi-space-size=2"]);
    case "features":
    case "inference":
    case "page":
    case "tracing":
      return runScript(new URL(`./${name}.ts`, import.meta.url), args);
    case "events":
      return runScript(new URL("./events/events-bench.ts", import.meta.url), args);
    case "doors":
      return runScript(new URL("./doors/doors-bench.ts", import.meta.url), args);
    default:
      console.error(USAGE);
      return name === undefined || name === "help" || name === "--help" ? 0 : 2;
  }
}

/** In a process of its own: nothing that ran before warms it up. */
function runScript(script: URL, args: readonly string[], flags: readonly string[] = []): number {
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
