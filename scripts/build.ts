/** Builds dist/: TypeScript to JavaScript and declarations, and beside them what the code loads at run time. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, globSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json")],
  {
    stdio: "inherit",
  },
);
for (const file of globSync("**/*.wasm", { cwd: join(root, "src") })) {
  cpSync(join(root, "src", file), join(dist, file));
}
for (const file of globSync("dashboard/**/*.{html,css,js,svg}", { cwd: join(root, "src") })) {
  if (!existsSync(join(dist, file))) cpSync(join(root, "src", file), join(dist, file));
}
console.log(`built ${globSync("**/*.js", { cwd: dist }).length} modules into dist/`);
