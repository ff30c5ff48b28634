/** The eight-bit variant beside the network that it was made from, on the voices of the demo. */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { analyzeFiles } from "../../src/analyze.ts";

const FILES = ["anna", "ben"].map((name) =>
  fileURLToPath(new URL(`../../assets/demo/${name}.opus`, import.meta.url)),
);

/** One file after the other: files in flight give their windows in any order. */
async function emotions(model: string) {
  const found: { readonly top: string; readonly scores: Readonly<Record<string, number>> }[] = [];
  const config = { model: { package: model, device: "cpu" as const } };
  for await (const item of analyzeFiles(FILES, { config, filesInFlight: 1 })) {
    if (item.kind === "event" && item.event.type === "tonetap.emotion") found.push(item.event.data);
  }
  return found;
}

test("tonetap-base-int8 names 9 of 10 windows as tonetap-base does, and no score is off by 0.1", async () => {
  const [whole, small] = await Promise.all([emotions("tonetap-base"), emotions("tonetap-base-int8")]);
  expect(whole.length).toBeGreaterThan(50);
  expect(small.length).toBe(whole.length);
  const same = whole.filter(({ top }, i) => top === small[i]?.top).length;
  expect(same / whole.length).toBeGreaterThan(0.9);
  const differences = whole.flatMap(({ scores }, i) =>
    Object.entries(scores).map(([label, score]) => Math.abs(score - (small[i]?.scores[label] ?? 0))),
  );
  expect(Math.max(...differences)).toBeLessThan(0.1);
  expect(Math.max(...differences)).toBeGreaterThan(0);
});
