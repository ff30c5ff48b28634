import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // examples/ is written as users write: by package name.
    alias: [
      { find: /^tonetap$/, replacement: here("src/index.ts") },
      { find: /^tonetap\/conformance$/, replacement: here("src/conformance/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/peers/**"],
    globalSetup: ["test/support/system-peers.ts"],
    // What ends a test that hangs, not a measure: tests wait for conditions, and a busy machine takes its time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    // Two shared cores: more workers only make the paced tests late.
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: ".cache/vitest.json" }]],
  },
});
