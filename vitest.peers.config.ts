/** `npm run test:peers`: tests against peers too heavy for `npm test`. Each folder's setup installs what it needs. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    globalSetup: ["test/support/system-peers.ts", "test/peers/mediasoup/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two shared cores: more workers only make the paced tests late.
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: ".cache/vitest-peers.json" }]],
  },
});
