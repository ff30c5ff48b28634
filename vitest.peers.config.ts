/** `npm run test:peers`: tests against peers too heavy for `npm test`. Each folder's setup installs what it needs. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // examples/ is written as users write: by package name.
    alias: [
      { find: /^tonetap$/, replacement: here("src/index.ts") },
      { find: /^tonetap\/werift$/, replacement: here("src/transport/werift/index.ts") },
      { find: /^tonetap\/mediasoup$/, replacement: here("src/transport/mediasoup/index.ts") },
      { find: /^(mediasoup|esbuild)$/, replacement: `${here("test/peers/node_modules/")}$1` },
    ],
  },
  test: {
    include: ["test/peers/**/*.test.ts"],
    globalSetup: [
      "test/support/system-peers.ts",
      "test/peers/setup.ts",
      "test/peers/mediasoup/setup.ts",
      "test/peers/tfjs/setup.ts",
    ],
    // What ends a test that hangs, not a measure: tests wait for conditions, and a busy machine takes its time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    // Two shared cores: more workers only make the paced tests late.
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: ".cache/vitest-peers.json" }]],
  },
});
