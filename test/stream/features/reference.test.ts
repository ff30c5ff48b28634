import { expect, test } from "vitest";
import { deltaLookahead } from "../../../src/core/feature-spec.ts";
import { createFeatureExtractor } from "../../../src/stream/features/index.ts";
import { GOLDEN_NAMES, readGolden } from "./golden.ts";

test.each(GOLDEN_NAMES)("the reference equals librosa's golden vectors of '%s' to 1e-5 relative", (name) => {
  const golden = readGolden(name);
  const extractor = createFeatureExtractor(golden.spec, { implementation: "reference" });

  const completed = extractor.push(golden.pcm);

  expect(completed).toBe(golden.frames - deltaLookahead(golden.spec));
  const channels = golden.names.length;
  const out = new Float32Array(channels * completed);
  extractor.copy(0, completed, out, completed);
  const worst = { error: 0, where: "" };
  golden.names.forEach((channel, c) => {
    for (let t = 0; t < completed; t++) {
      const want = golden.features[c * golden.frames + t] ?? Number.NaN;
      const got = out[c * completed + t] ?? Number.NaN;
      // Relative, but not finer than 1e-7: float32 is what both sides hand over.
      const error = Math.abs(got - want) / Math.max(Math.abs(want), 1e-2);
      if (!(error <= worst.error)) {
        worst.error = error;
        worst.where = `${channel} frame ${t}: ${got}, librosa ${want}`;
      }
    }
  });
  expect(worst.error, worst.where).toBeLessThan(1e-5);
});
