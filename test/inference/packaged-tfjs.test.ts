/** The TensorFlow.js files in the bundled packages are what their ONNX files say: made anew they are the same, byte for byte. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { exportTfjs } from "../../scripts/export-tfjs.ts";

test.each(["tonetap-base", "tonetap-small"])(
  "%s: 2 files, made by npx node scripts/export-tfjs.ts",
  async (name) => {
    const packaged = fileURLToPath(new URL(`../../models/${name}/`, import.meta.url));
    const out = await mkdtemp(join(tmpdir(), "tonetap-tfjs-"));
    await exportTfjs(packaged, out);
    for (const file of ["model.json", "weights.bin"]) {
      const [made, kept] = await Promise.all([
        readFile(join(out, file)),
        readFile(join(packaged, "tfjs", file)),
      ]);
      expect(made.equals(kept), `${file} of ${name}`).toBe(true);
    }
    await rm(out, { recursive: true });
  },
);
