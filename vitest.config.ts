import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/peers/**"],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Two shared cores: more workers only make the paced tests late.
    maxWorkers: 2,
  },
});
