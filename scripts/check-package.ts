/**
 * Checks the tarball as users get it: publint and are-the-types-wrong on it, then the examples compiled and the command
 * run against it, outside of the source tree.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
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
    include: ["examples/*.ts"],
  }),
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
const { data } = JSON.parse(summary) as { data: { windows: { emitted: number } } };
if (!(data.windows.emitted > 20)) {
  console.error(`the packed command analysed the bundled recording to ${summary}`);
  process.exit(1);
}
console.log(
  `package ${version}: publint, types, ${readdirSync(join(work, "examples")).length} examples and the command are sound`,
);
