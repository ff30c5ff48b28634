import { expect, test } from "vitest";
import { AnalysisProgress } from "../src/analysis-progress.ts";
import { monotonicMs, sampleIndex, wallMs } from "../src/core/units.ts";
import type { EmotionUnit, SpeechEdge } from "../src/core/window.ts";

const edge = (state: "started" | "ended", atS: number): SpeechEdge => ({
  kind: "speech",
  state,
  at: sampleIndex(16_000 * atS),
  mediaMs: 1_000 * atS,
  wallMs: wallMs(50_000 + 1_000 * atS),
  wallSource: "ntp",
  durationMs: 0,
  arrivalMs: monotonicMs(0),
});

const gated = (index: number, endS: number): EmotionUnit =>
  ({
    kind: "gated",
    reason: "silence",
    index,
    end: sampleIndex(16_000 * endS),
    mediaEndMs: 1_000 * endS,
    wallEndMs: wallMs(50_000 + 1_000 * endS),
    wallSource: "ntp",
  }) as EmotionUnit;

test("a talk-spurt that is cut off ends with the last audio looked at: 4.5 s after it began, and once", () => {
  const progress = new AnalysisProgress();
  progress.note(edge("started", 1));
  progress.note(gated(6, 5.5));

  const ended = progress.endSpurt(monotonicMs(7));

  expect(ended).toMatchObject({
    state: "ended",
    at: 88_000,
    mediaMs: 5_500,
    wallMs: 55_500,
    wallSource: "ntp",
    durationMs: 4_500,
    arrivalMs: 7,
  });
  expect(progress.endSpurt(monotonicMs(8))).toBeUndefined();
});

test("the next chain begins behind window 6 and sample 88,000, whatever older units come late", () => {
  const progress = new AnalysisProgress();
  expect(progress.next).toEqual({ sample: 0, index: 0 });

  progress.note(gated(6, 5.5));
  progress.note(edge("started", 1));
  progress.note(edge("ended", 5));

  expect(progress.next).toEqual({ sample: 88_000, index: 7 });
  expect(progress.endSpurt(monotonicMs(0))).toBeUndefined();
  expect(progress.windows).toEqual({ emitted: 0, abstained: 0, gated: 1, dropped: 0 });
});
