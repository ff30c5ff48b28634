import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/peers/**"],
    globalSetup: ["test/support/system-peers.ts"],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Two shared cores: more workers only make the paced tests late.
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: ".cache/vitest.json" }]],
  },
});
