import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

test("a shard that hangs in a loop is ended after 4 s without a sign of life: its 2 participants go on in another", async () => {
  const args = ["--import", fileOf("./hanging-thread.ts"), fileOf("./hanging-shard.ts")];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000 });

  const message = "a shard gave no sign of life for more than 4000 ms";
  expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
    restarts: 1,
    lastError: message,
    recovered: [message, message],
    left: 0,
    inOrder: [true, true],
  });
}, 60_000);
