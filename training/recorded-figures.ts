/** Prints the figures that a model package carries. Measuring is training/evaluate.py, before the model was packed. */
import { z } from "zod";
import type { ModelPackage } from "../src/inference/index.ts";

const share = z.number().min(0).max(1);
/** The part of a package's `metrics` that training/evaluate.py writes and this file prints. */
const metricsSchema = z.object({
  protocol: z.string(),
  command: z.string(),
  ece: share,
  corpora: z.record(
    z.string(),
    z.object({
      clips: z.number(),
      speakers: z.number(),
      labels: z.array(z.string()),
      uar: z.object({
        warm_clip: share,
        cold_clip: share,
        warm_window: share,
        cold_window: share,
        warm_first_1s: share,
        cold_first_1s: share,
      }),
    }),
  ),
});

const COLUMNS = [
  ["warm_clip", "clip, warm"],
  ["cold_clip", "clip, cold"],
  ["warm_window", "3 s, warm"],
  ["cold_window", "3 s, cold"],
  ["warm_first_1s", "1 s, warm"],
  ["cold_first_1s", "1 s, cold"],
] as const;

/** A table of speaker-independent UAR per corpus, or one line that says that the package has none. */
export function recordedFigures({ id, manifest }: ModelPackage): string {
  const parsed = metricsSchema.safeParse(manifest.metrics);
  if (!parsed.success) return `${id} carries no recorded figures.`;
  const { protocol, command, ece, corpora } = parsed.data;
  const lines = [
    `${id}: recorded figures, not measured now. ${protocol}`,
    `Measured by: ${command}`,
    "",
    `UAR, %      clips speakers labels ${COLUMNS.map(([, title]) => title.padStart(11)).join("")}`,
  ];
  for (const [corpus, { clips, speakers, labels, uar }] of Object.entries(corpora)) {
    const cells = COLUMNS.map(([key]) => (100 * uar[key]).toFixed(1).padStart(11)).join("");
    lines.push(
      `${corpus.padEnd(11)}${String(clips).padStart(6)}${String(speakers).padStart(9)}${String(labels.length).padStart(7)} ${cells}`,
    );
  }
  lines.push(
    "",
    "warm: 30 s of other speech of the same voice were heard before. cold: nothing was.",
    `Calibration error of a window's top probability: ${(100 * ece).toFixed(1)} points.`,
    "Judge your own recordings: npm run evaluate -- --manifest FILE --audio DIR",
  );
  return lines.join("\n");
}
