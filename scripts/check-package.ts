/**
 * Checks the tarball as users get it: publint and are-the-types-wrong on it, then the examples compiled and the command
 * and one example run against it, outside of the source tree.
 */
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const work = join(root, ".cache/package");
const bin = (name: string): string => join(root, "node_modules/.bin", name);

function run(command: string, args: readonly string[], cwd = root): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    console.error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`);
    process.exit(1);
  }
}

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
// prepack builds dist/ first.
run("npm", ["pack", "--pack-destination", work]);
const tarball = join(work, readdirSync(work).find((file) => file.endsWith(".tgz")) ?? "");

run(bin("publint"), [tarball, "--strict"]);
// ESM only, by design: CommonJS callers of Node ≥ 22 can require() it all the same.
run(bin("attw"), [tarball, "--profile", "esm-only"]);

// The package's own dependencies are found further up, in the repository's node_modules.
const installed = join(work, "node_modules/tonetap");
mkdirSync(installed, { recursive: true });
run("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
cpSync(join(root, "examples"), join(work, "examples"), { recursive: true });
symlinkSync(join(root, "node_modules/@types"), join(work, "node_modules/@types"));
writeFileSync(
  join(work, "tsconfig.json"),
  JSON.stringify({
    compilerOptions: {
      target: "ES2024",
      module: "NodeNext",
      strict: true,
      noEmit: true,
      types: ["node"],
      allowImportingTsExtensions: true,
    },
    include: ["examples/*.ts", "examples/agent-assist/*.ts", "*.d.ts"],
  }),
);
// werift's own types need it; with skipLibCheck, ours would not be checked either.
writeFileSync(
  join(work, "multicast-dns.d.ts"),
  'declare module "multicast-dns" { export type MulticastDNS = unknown; }\n',
);
run(bin("tsc"), ["-p", work]);

const version = run(process.execPath, [join(installed, "dist/cli.js"), "--version"], work).trim();
const summary = run(
  process.execPath,
  [
    join(installed, "dist/cli.js"),
    "analyze",
    join(installed, "assets/demo/anna.opus"),
    "--summary",
    "--model-device",
    "cpu",
  ],
  work,
);
const { windows } = JSON.parse(summary) as { windows: { emitted: number } };
if (!(windows.emitted > 20)) {
  console.error(`the packed command analysed the bundled recording to ${summary}`);
  process.exit(1);
}
await runCustomSource();
console.log(
  `package ${version}: publint, types, ${readdirSync(join(work, "examples")).length} examples and the command are sound`,
);

/** The example of a source of one's own, run as its reader would: a caller comes over TCP and leaves again. */
async function runCustomSource(): Promise<void> {
  const port = 20_000 + (process.pid % 10_000);
  const example = spawn(process.execPath, [join(work, "examples/custom-source.ts")], {
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((resolve) => example.on("exit", resolve));
  const wanted = new Set(["tonetap.participant.joined", "tonetap.quality", "tonetap.participant.left"]);
  const giveUp = setTimeout(() => example.kill("SIGKILL"), 20_000);
  const caller = setInterval(() => {
    const socket = connect(port, "127.0.0.1", () => {
      clearInterval(caller);
      // Half a second of µ-law silence.
      socket.end(Buffer.alloc(4_000, 0xff));
    });
    // Not listening yet: the next attempt is on its way.
    socket.on("error", () => socket.destroy());
  }, 200);
  for await (const line of createInterface(example.stdout)) {
    wanted.delete((JSON.parse(line) as { type: string }).type);
    if (wanted.size === 0) example.kill("SIGINT");
  }
  await exited;
  clearTimeout(giveUp);
  clearInterval(caller);
  if (wanted.size > 0) {
    console.error(`examples/custom-source.ts never said ${[...wanted].join(", ")}`);
    process.exit(1);
  }
}
