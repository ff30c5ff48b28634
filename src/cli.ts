#!/usr/bin/env node
/** The process: arguments, signals, exit codes, the terminal. What commands do stands in the modules they call, --help in cli-help.ts. */
import { readFileSync } from "node:fs";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { isUsedByAnalysis } from "./analysis-options.ts";
import { commandHelp, type Described, help, optionsOf } from "./cli-help.ts";
import { describeOptions, resolveConfig, SERVICE_DEFAULTS } from "./config.ts";
import { assertKnownVariables, assertNotKubernetes, readConfigFile, suggestion } from "./config-file.ts";
import { systemClock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";

type Flags = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

interface Command extends Described {
  /** Flags of its own, besides the configuration's when `configured`. */
  readonly flags?: NonNullable<ParseArgsConfig["options"]>;
  /** Words it takes besides flags, at most. */
  readonly maxWords: number;
  /** @returns the exit code */
  readonly run: (input: CommandInput) => Promise<number>;
}

interface CommandInput {
  readonly flags: Flags;
  readonly words: readonly string[];
  readonly signal: AbortSignal;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  demo: {
    usage: "tonetap demo [--once]",
    meaning: "Runs the service and plays a bundled two-party call into it over RTP.",
    flags: { once: { type: "boolean" } },
    flagHelp: { "--once": "End after one pass and print a summary." },
    configured: true,
    maxWords: 0,
    run: async ({ flags, signal }) => {
      const { runDemo } = await import("./demo.ts");
      return runDemo({ config: configOf(flags), once: flags.once === true, out: process.stdout, signal });
    },
  },
  serve: {
    usage: "tonetap serve",
    meaning: "Runs the service: page, events over WebSocket, WHIP, SIP where it is asked for.",
    configured: true,
    defaults: SERVICE_DEFAULTS,
    maxWords: 0,
    run: async ({ flags, signal }) => {
      const { runService } = await import("./serve.ts");
      return runService({
        config: resolved(flags, SERVICE_DEFAULTS).config,
        out: process.stdout,
        logTo: process.stderr,
        signal,
        onReload: onHangUp,
      });
    },
  },
  analyze: {
    usage: "tonetap analyze FILE… [--json] [--summary] [--direct] [--channel mix|N]",
    meaning:
      "Analyses recordings as fast as the machine can: a line a talk-spurt, a line an alert, a line a file.",
    flags: {
      json: { type: "boolean" },
      summary: { type: "boolean" },
      direct: { type: "boolean" },
      channel: { type: "string" },
    },
    flagHelp: {
      "--json": "One event a line, as JSON.",
      "--summary": "One object a file, as JSON: the label and mean probabilities.",
      "--direct": "Skip Opus and RTP: PCM goes straight to the features.",
      "--channel": "Which channel of the file; mix (default) takes their mean.",
    },
    configured: isUsedByAnalysis,
    maxWords: Number.POSITIVE_INFINITY,
    run: async ({ flags, words, signal }) => {
      const { runAnalyze } = await import("./analyze-command.ts");
      return runAnalyze({
        config: configOf(flags),
        flags,
        files: words,
        out: process.stdout,
        err: process.stderr,
        signal,
      });
    },
  },
  listen: {
    usage: "tonetap listen [URL] [--json]",
    meaning:
      "Subscribes to a running service and draws what it says. Default http://127.0.0.1:8080; a key in TONETAP_KEY.",
    flags: { json: { type: "boolean" } },
    flagHelp: { "--json": "One event a line, as JSON." },
    configured: false,
    maxWords: 1,
    run: async ({ flags, words, signal }) => {
      const { runListen } = await import("./events/index.ts");
      return runListen({
        url: words[0] ?? "http://127.0.0.1:8080",
        out: process.stdout,
        json: flags.json === true,
        // Not a flag: those are seen by everyone on the machine.
        token: process.env.TONETAP_KEY,
        signal,
      });
    },
  },
  key: {
    usage: "tonetap key ID [--scopes SCOPES] [--tenant NAME] [--expires TIME]",
    meaning: "Makes an API key: prints it once, and what to put into auth.keysFile for it.",
    flags: { scopes: { type: "string" }, tenant: { type: "string" }, expires: { type: "string" } },
    flagHelp: {
      "--scopes":
        "What it may, with commas: events:read, calls:write (each also :PATTERN), admin. Default events:read.",
      "--tenant": "Whose calls it is for; none: all.",
      "--expires": "Until when it is good, RFC 3339; none: for ever.",
    },
    configured: false,
    maxWords: 1,
    run: async ({ flags, words }) => {
      const { writeKey } = await import("./key-command.ts");
      return writeKey({ id: words[0] ?? "", flags, out: process.stdout, err: process.stderr });
    },
  },
  audit: {
    usage: "tonetap audit verify FILE",
    meaning: "Checks that an audit log is whole: nothing changed, nothing taken out.",
    configured: false,
    maxWords: 2,
    run: async ({ words: [verb, file] }) => {
      if (verb !== "verify" || file === undefined) {
        throw new TonetapError("invalid-argument", "audit needs: verify FILE");
      }
      const { verifyAuditLog } = await import("./audit/index.ts");
      const { records, hash, torn } = await verifyAuditLog(file);
      process.stdout.write(`${records} records, ${torn} torn by a crash, the last is ${hash}\n`);
      return 0;
    },
  },
  config: {
    usage: "tonetap config",
    meaning: "Prints the configuration that serve would have, and where each value comes from.",
    configured: true,
    defaults: SERVICE_DEFAULTS,
    maxWords: 0,
    run: ({ flags }) => {
      const { config, origins } = resolved(flags, SERVICE_DEFAULTS);
      for (const option of describeOptions()) {
        const value = option.path
          .split(".")
          .reduce<unknown>((node, name) => (node as Record<string, unknown>)[name], config);
        const origin = origins.get(option.path) ?? "default";
        const shown = option.secret && origin !== "default" ? "(secret)" : JSON.stringify(value);
        process.stdout.write(`${option.path.padEnd(26)} ${shown.padEnd(18)} ${origin}\n`);
      }
      return Promise.resolve(0);
    },
  },
};

/** Exit codes, as sysexits.h has them where it has one; 130 is what shells give for SIGINT. */
const USAGE = 64;
const FAILED = 1;
const INTERRUPTED = 130;

/** Aborted when the process is to end. */
const ending = new AbortController();
let readerIsGone = false;

/** SIGHUP asks a service to read its model anew; at a terminal it says that the terminal has gone, and ends it. */
function onHangUp(task: () => void): () => void {
  if (process.stdout.isTTY) return () => undefined;
  process.on("SIGHUP", task);
  return () => process.off("SIGHUP", task);
}

function textFlags(flags: Flags): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(flags).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );
}

/** Flags before environment before file before defaults. */
function resolved(flags: Flags, defaults?: Described["defaults"]): ReturnType<typeof resolveConfig> {
  assertKnownVariables(
    process.env,
    describeOptions().map(({ env }) => env),
  );
  assertNotKubernetes(process.env, textFlags(flags));
  const path = typeof flags.config === "string" ? flags.config : process.env.TONETAP_CONFIG;
  const file = path === undefined ? {} : readConfigFile(path);
  return resolveConfig(process.env, textFlags(flags), file, defaults);
}

const configOf = (flags: Flags) => resolved(flags).config;

function version(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/**
 * The first signal asks for an orderly end, the second ends at once. So does a reader who has enough: `| head` closes
 * the pipe.
 * At once is by the signal itself: exit() would terminate threads in native code, which aborts.
 */
function watchForTheEnd(): void {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (!ending.signal.aborted) {
        ending.abort(new TonetapError("closed", `stopped by ${name}`));
        return;
      }
      process.removeAllListeners(name);
      process.kill(process.pid, name);
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    readerIsGone = true;
    ending.abort(new TonetapError("closed", "nobody reads what we print", { cause: error }));
  });
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    process.stdout.write(help(version(), Object.values(COMMANDS)));
    return name === undefined ? USAGE : 0;
  }
  if (name === "--version" || name === "-v") {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(
      `tonetap: there is no command ${name}\n\n${help(version(), Object.values(COMMANDS))}`,
    );
    return USAGE;
  }
  const options: NonNullable<ParseArgsConfig["options"]> = {
    help: { type: "boolean", short: "h" },
    ...(command.configured === false ? {} : { config: { type: "string" as const } }),
    ...Object.fromEntries(optionsOf(command).map(({ flag }) => [flag.slice(2), { type: "string" as const }])),
    ...command.flags,
  };
  const { values, positionals } = parsed(rest, options);
  if (values.help === true) {
    process.stdout.write(commandHelp(command, process.stdout.columns));
    return 0;
  }
  const excess = positionals[command.maxWords];
  if (excess !== undefined) {
    throw new TonetapError("invalid-argument", `${name} does not know what to do with ${excess}`);
  }
  return command.run({ flags: values, words: positionals, signal: ending.signal });
}

function parsed(args: readonly string[], options: NonNullable<ParseArgsConfig["options"]>) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const [, flag] = /^Unknown option '(--[^']+)'/.exec(error instanceof Error ? error.message : "") ?? [];
    if (flag === undefined) throw error;
    const known = Object.keys(options).map((name) => `--${name}`);
    // --model-delay is --model-max-delay-ms to most people, and fewer letters away from others.
    const words = flag.slice(2).split("-");
    const longer = known.find((name) => words.every((word) => name.split("-").includes(word)));
    const meant = longer === undefined ? suggestion(flag, known) : `, did you mean ${longer}?`;
    throw new TonetapError("invalid-argument", `unknown option ${flag}${meant}`);
  }
}

/** Says what went wrong, unless we were told to end. @returns the exit code */
function report(error: unknown): number {
  if (ending.signal.aborted && isEnding(error)) return INTERRUPTED;
  if (isUsage(error)) {
    // Of parseArgs: what follows the first sentence is advice, for other programs, but for a value like -3.
    const [first = ""] = error.message.split(/\. To specify|\.\n/);
    const message = first.replace(
      / argument is ambiguous$/,
      " takes a value that begins with - after =, as in --x=-3",
    );
    const [, , name = ""] = process.argv;
    const hint = Object.hasOwn(COMMANDS, name) ? ` (tonetap ${name} --help)` : "";
    process.stderr.write(`tonetap: ${message}${hint}\n`);
    return USAGE;
  }
  process.stderr.write(`tonetap: ${error instanceof Error ? error.message : String(error)}\n`);
  if (!(error instanceof TonetapError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ""}\n`);
  return FAILED;
}

function isUsage(error: unknown): error is Error {
  return (
    (error instanceof TonetapError && error.code === "invalid-argument") ||
    (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"))
  );
}

/** Only that something was stopped half-way. */
function isEnding(error: unknown): boolean {
  return (
    (error instanceof TonetapError && error.code === "closed") ||
    (error instanceof Error && "code" in error && error.code === "EPIPE")
  );
}

/** A model's thread ends by itself, and the process after it. One that hangs in a driver is not waited for longer, ms. */
const THREAD_LIMIT_MS = 60_000;

function endSoon(): void {
  systemClock.schedule(THREAD_LIMIT_MS, () => {
    process.stderr.write(`tonetap: a thread still hangs after ${THREAD_LIMIT_MS} ms; ended without it\n`);
    process.kill(process.pid, "SIGKILL");
  });
}

watchForTheEnd();
const code = await main(process.argv.slice(2)).catch(report);
process.exitCode = readerIsGone ? 0 : code;
endSoon();
