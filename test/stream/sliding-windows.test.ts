import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_FEATURE_SPEC, type FeatureSpec } from "../../src/core/feature-spec.ts";
import type { FrameStore, FrameUnit } from "../../src/core/media.ts";
import { MediaClock } from "../../src/core/media-clock.ts";
import type { Normalisation } from "../../src/core/model.ts";
import { monotonicMs, rtpTicks, sampleIndex } from "../../src/core/units.ts";
import type { FeatureWindow, GatedWindow, SpeechEdge, WindowUnit } from "../../src/core/window.ts";
import { type SlidingWindowsOptions, slidingWindows } from "../../src/stream/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { drain } from "../support/media-units.ts";

/** Two channels: their values say which frame and channel they are of. */
const features: FeatureSpec = {
  ...DEFAULT_FEATURE_SPEC,
  mfcc: 2,
  delta: false,
  delta2: false,
  chroma: 0,
  logEnergy: false,
};
const normalisation: Normalisation = {
  kind: "global",
  mean: [0, 0],
  std: [1, 1],
  priorFrames: 0,
  maxFrames: 1,
};
const model = { features, window: { frames: 300, minFrames: 40 }, normalisation };

/** A store whose frame f of channel c is f + 10,000·c, and whose flags are given. */
class NumberedStore implements FrameStore {
  readonly channels = 2;
  readonly capacity = 320;
  completed = 0;
  readonly speech: (frame: number) => boolean;
  readonly lost: (frame: number) => boolean;

  constructor(speech: (frame: number) => boolean, lost: (frame: number) => boolean) {
    this.speech = speech;
    this.lost = lost;
  }

  copy(first: number, count: number, out: Float32Array, stride: number): void {
    expect(first).toBeGreaterThanOrEqual(Math.max(0, this.completed - this.capacity));
    expect(first + count).toBeLessThanOrEqual(this.completed);
    for (let c = 0; c < 2; c++) for (let t = 0; t < count; t++) out[c * stride + t] = first + t + 10_000 * c;
  }

  isSpeech(frame: number): boolean {
    return frame < this.completed && this.speech(frame);
  }

  isLost(frame: number): boolean {
    return this.lost(frame);
  }
}

type Spans = readonly (readonly [number, number])[];
const within = (spans: Spans) => (frame: number) => spans.some(([from, to]) => frame >= from && frame < to);

interface Part {
  /** Frames of this history. */
  readonly frames: number;
  /** [from, to) in frames. */
  readonly speech?: Spans;
  readonly lost?: Spans;
  /** How it begins. Default `start`. */
  readonly reason?: "start" | "ssrc" | "jump" | "gap";
  /** Where it begins, ms. Default 0. */
  readonly startMs?: number;
  /** Frames after which a stall is reported. */
  readonly stalls?: readonly number[];
}

/** Frames come in twos, 20 ms apart. */
function* history(parts: readonly Part[], step = 2): Generator<FrameUnit> {
  for (const { frames, speech = [], lost = [], reason = "start", startMs = 0, stalls = [] } of parts) {
    const origin = sampleIndex(startMs * 16);
    yield { kind: "reset", reason, start: origin, arrivalMs: monotonicMs(startMs) };
    const store = new NumberedStore(within(speech), within(lost));
    for (let first = 0; first < frames; first += step) {
      const count = Math.min(step, frames - first);
      store.completed = first + count;
      const arrivalMs = monotonicMs(startMs + store.completed * 10);
      yield { kind: "frames", store, first, count, origin, arrivalMs };
      if (stalls.includes(store.completed)) yield { kind: "stalled", arrivalMs };
    }
  }
}

function run(parts: readonly Part[], options: Partial<SlidingWindowsOptions> = {}, step = 2) {
  const mediaClock = new MediaClock(new ManualClock());
  mediaClock.anchor(rtpTicks(0), sampleIndex(0), 48_000);
  mediaClock.arrived(sampleIndex(0), monotonicMs(0));
  // The operator needs the units one by one: the store moves on with them.
  const seen: WindowUnit[] = [];
  const keep = (unit: WindowUnit): WindowUnit =>
    unit.kind === "window" ? { ...unit, features: unit.features.slice() } : unit;
  const units = history(parts, step) as unknown as readonly FrameUnit[];
  seen.push(...drain(units, slidingWindows({ model, mediaClock, ...options }), keep));
  const ticks = seen.filter((unit) => unit.kind !== "speech");
  const edges = seen.filter((unit) => unit.kind === "speech");
  expect(ticks.map(({ index }) => index)).toEqual(ticks.map((_, i) => i));
  return { seen, ticks, edges };
}

/** `window 500–1500`, `too-short 900–1000`: outcome and media time, ms. */
const told = (ticks: readonly (FeatureWindow | GatedWindow)[]): string[] =>
  ticks.map(
    (tick) => `${tick.kind === "gated" ? tick.reason : "window"} ${tick.mediaStartMs}–${tick.mediaEndMs}`,
  );
const toldEdges = (edges: readonly SpeechEdge[]): string[] =>
  edges.map((edge) => `${edge.state} ${edge.mediaMs}`);

describe("slidingWindows", () => {
  test("6 s of one talk-spurt: too short at 0.5 s, then growing windows, then 3 s ones every 0.5 s", () => {
    const { ticks } = run([{ frames: 600, speech: [[0, 600]] }]);
    expect(told(ticks)).toEqual([
      "too-short 0–500",
      "window 0–1000",
      "window 0–1500",
      "window 0–2000",
      "window 0–2500",
      "window 0–3000",
      "window 500–3500",
      "window 1000–4000",
      "window 1500–4500",
      "window 2000–5000",
      "window 2500–5500",
      "window 3000–6000",
    ]);
  });

  test("a pace of 2 gates every other window as overload, Infinity all; a talk-spurt's only window stays at 2", () => {
    const paced = (pace: number, speech: Spans) =>
      told(run([{ frames: 350, speech }], { pace: () => pace }).ticks);
    expect(paced(2, [[0, 350]])).toEqual([
      "too-short 0–500",
      "overload 0–1000",
      "window 0–1500",
      "overload 0–2000",
      "window 0–2500",
      "overload 0–3000",
      "window 500–3500",
    ]);
    expect(new Set(paced(Number.POSITIVE_INFINITY, [[0, 350]]))).toEqual(
      new Set([
        "too-short 0–500",
        ...[1000, 1500, 2000, 2500, 3000].map((end) => `overload 0–${end}`),
        "overload 500–3500",
      ]),
    );
    const short: Spans = [[10, 70]];
    expect(paced(2, short).filter((tick) => tick.startsWith("window"))).toHaveLength(1);
    expect(paced(Number.POSITIVE_INFINITY, short).filter((tick) => tick.startsWith("window"))).toHaveLength(
      0,
    );
  });

  test("follows a change of model between 2 ticks: later windows are on the new scale, and a shadow's beside it", () => {
    const next: Normalisation = { ...normalisation, mean: [100, 0], std: [2, 1] };
    let asked = 0;
    const scales = () => (++asked <= 3 ? { own: normalisation } : { own: next, shadow: normalisation });
    const { ticks } = run([{ frames: 250, speech: [[0, 250]] }], { scales });

    const [, , before, after] = ticks;
    if (before?.kind !== "window" || after?.kind !== "window") throw new RangeError("both are windows");
    expect([before.features[0], before.features[149]]).toEqual([0, 149]);
    expect(before.shadowFeatures).toBeUndefined();
    expect([after.features[0], after.features[149]]).toEqual([-50, 24.5]);
    // Borrowed: wiped once it was emitted.
    expect(after.shadowFeatures?.every((x) => x === 0)).toBe(true);
    expect(asked).toBe(5);
  });

  test("a window holds its frames in order, zero from `frames` on: 110 of 300", () => {
    const { ticks } = run([{ frames: 200, speech: [[50, 200]] }]);
    const window = ticks[2];
    if (window?.kind !== "window") throw new RangeError("the third tick is a window");
    expect(told(ticks)).toEqual([
      "silence 0–500",
      "too-short 400–1000",
      "window 400–1500",
      "window 400–2000",
    ]);
    expect(window.frames).toBe(110);
    expect([...window.features.subarray(0, 110)]).toEqual(Array.from({ length: 110 }, (_, t) => 40 + t));
    expect([...window.features.subarray(300, 410)]).toEqual(
      Array.from({ length: 110 }, (_, t) => 10_040 + t),
    );
    expect(window.features.subarray(110, 300).every((x) => x === 0)).toBe(true);
    expect(window.features.subarray(410).every((x) => x === 0)).toBe(true);
  });

  test("edges bear the time of the sound: started 15 ms into frame 100's place, ended with frame 249", () => {
    const { edges } = run([{ frames: 400, speech: [[100, 250]] }]);
    expect(toldEdges(edges)).toEqual(["started 1015", "ended 2500"]);
    expect(edges[0]).toMatchObject({ durationMs: 0, at: 16_240, arrivalMs: 1_020 });
    expect(edges[1]).toMatchObject({ durationMs: 1_485, at: 40_000, arrivalMs: 2_820 });
  });

  test("a pause of 300 ms stays in the talk-spurt, one of 310 ms ends it", () => {
    const pause = (frames: number) =>
      run([
        {
          frames: 400,
          speech: [
            [50, 150],
            [150 + frames, 300],
          ],
        },
      ]);
    expect(toldEdges(pause(30).edges)).toEqual(["started 515", "ended 3000"]);
    expect(toldEdges(pause(31).edges)).toEqual(["started 515", "ended 1500", "started 1825", "ended 3000"]);
  });

  test("a talk-spurt of 600 ms is judged at the next tick, from 100 ms before to 100 ms after it, once", () => {
    const { ticks } = run([{ frames: 300, speech: [[110, 170]] }]);
    expect(told(ticks)).toEqual([
      "silence 0–500",
      "silence 0–1000",
      "too-short 1000–1500",
      "too-short 1000–2000",
      "window 1000–1800",
      "silence 0–3000",
    ]);
    expect(ticks[4]).toMatchObject({ frames: 80, speechShare: 60 / 80 });
  });

  test("a talk-spurt of 390 ms has fewer frames than the model judges (40): gated too-short, then silence", () => {
    const { ticks } = run([{ frames: 200, speech: [[10, 49]] }]);
    expect(told(ticks)).toEqual(["too-short 0–500", "too-short 0–590", "silence 0–1500", "silence 0–2000"]);
  });

  test("a short talk-spurt has its turn though the next one has begun; that is judged 0.5 s later", () => {
    const { ticks } = run([
      {
        frames: 300,
        speech: [
          [10, 55],
          [90, 300],
        ],
      },
    ]);
    expect(told(ticks)).toEqual([
      "too-short 0–500",
      "window 0–650",
      "too-short 800–1500",
      "window 800–2000",
      "window 800–2500",
      "window 800–3000",
    ]);
  });

  test("too little speech in an open talk-spurt is gated: 25 % against a limit of 30 %", () => {
    // One frame in four, never a pause longer than the hangover.
    const sparse = Array.from({ length: 100 }, (_, i) => [i * 4, i * 4 + 1] as const);
    const gated = run([{ frames: 400, speech: sparse }]);
    const passed = run([{ frames: 400, speech: sparse }], { minSpeechShare: 0.2 });
    expect(gated.ticks.filter(({ kind }) => kind === "window")).toHaveLength(0);
    expect(gated.ticks[3]).toMatchObject({ kind: "gated", reason: "silence", speechShare: 0.25 });
    expect(passed.ticks.filter(({ kind }) => kind === "window")).toHaveLength(7);
  });

  test("windows with more than half of their audio lost are gated `loss`, speech or not", () => {
    const { ticks } = run([{ frames: 500, speech: [[0, 200]], lost: [[60, 500]] }]);
    expect(told(ticks)).toEqual([
      "too-short 0–500",
      "window 0–1000",
      "loss 0–1500",
      "loss 0–2000",
      "loss 0–2500",
      "loss 0–3000",
      "loss 500–3500",
      "loss 1000–4000",
      "loss 1500–4500",
      "loss 2000–5000",
    ]);
    expect(ticks[1]).toMatchObject({ lossShare: 0.4, speechShare: 1 });
  });

  test("the normaliser learns from speech only, each frame once: after 2 s the mean is that of the 100 spoken", () => {
    const speaker: Normalisation = {
      kind: "speaker",
      mean: [0, 0],
      std: [1, 1],
      priorFrames: 0,
      maxFrames: 1e6,
    };
    const { ticks } = run([{ frames: 200, speech: [[50, 150]], lost: [[150, 200]] }], {
      model: { ...model, normalisation: speaker },
      minWindowMs: 400,
    });
    const window = ticks[2];
    if (window?.kind !== "window") throw new RangeError("the third tick is a window");
    // Frames 50–149: mean 99.5, deviation √((100² − 1)/12).
    const std = Math.sqrt((100 ** 2 - 1) / 12);
    expect(window.features[0]).toBeCloseTo((40 - 99.5) / std, 4);
    expect(window.features[300]).toBeCloseTo((40 - 99.5) / std, 1);
  });

  test("what was learnt of a voice outlives a gap and not an SSRC: mean 82.8 against 49.5", () => {
    const speaker: Normalisation = {
      kind: "speaker",
      mean: [0, 0],
      std: [1, 1],
      priorFrames: 0,
      maxFrames: 1e6,
    };
    const options = { model: { ...model, normalisation: speaker } };
    const zeroOf = (reason: "gap" | "ssrc"): number => {
      const parts = [
        { frames: 200, speech: [[0, 200]] as const },
        { frames: 100, speech: [[0, 100]] as const, reason, startMs: 20_000 },
      ];
      const window = run(parts, options)
        .ticks.filter((tick) => tick.kind === "window")
        .at(-1);
      return window?.features[0] ?? Number.NaN;
    };
    // 200 + 100 frames: mean 82.8, deviation 55.3; 100 frames alone: mean 49.5, deviation 28.9.
    expect(zeroOf("ssrc")).toBeCloseTo(-49.5 / Math.sqrt((100 ** 2 - 1) / 12), 3);
    expect(zeroOf("gap")).toBeCloseTo(-82.8333 / 55.2764, 3);
  });

  test("a stall ends the talk-spurt and has it judged at once: window 0–700, tick 1 taken early", () => {
    const { seen, ticks } = run([{ frames: 60, speech: [[0, 60]], stalls: [60] }]);
    expect(told(ticks)).toEqual(["too-short 0–500", "window 0–600"]);
    expect(seen.map(({ kind }) => kind)).toEqual(["speech", "gated", "speech", "window"]);
    expect(seen[2]).toMatchObject({ state: "ended", mediaMs: 600, durationMs: 600 });
  });

  test("after a stall with an early tick the grid goes on: its next tick is at 1,500 ms", () => {
    const { ticks } = run([{ frames: 200, speech: [[0, 60]], stalls: [60] }]);
    expect(told(ticks)).toEqual(["too-short 0–500", "window 0–600", "silence 0–1500", "silence 0–2000"]);
  });

  test("the source's end judges a talk-spurt of 450 ms that nothing has judged yet", () => {
    const { ticks, edges } = run([{ frames: 145, speech: [[100, 145]] }]);
    expect(told(ticks)).toEqual(["silence 0–500", "silence 0–1000", "window 900–1450"]);
    expect(toldEdges(edges)).toEqual(["started 1015", "ended 1450"]);
  });

  test("a gap of 2 s keeps the grid: its 4 ticks are told as silence", () => {
    const { ticks, edges } = run([
      { frames: 120, speech: [[0, 120]] },
      { frames: 100, reason: "gap", startMs: 3_200 },
    ]);
    expect(told(ticks)).toEqual([
      "too-short 0–500",
      "window 0–1000",
      "silence 1000–1500",
      "silence 1500–2000",
      "silence 2000–2500",
      "silence 2500–3000",
      "silence 3200–3500",
      "silence 3200–4000",
    ]);
    expect(toldEdges(edges)).toEqual(["started 0", "ended 1200"]);
  });

  test("a gap of 20 s, a jump and a new SSRC begin a grid of their own; numbers go on from 2, 4 and 6", () => {
    const { ticks } = run([
      { frames: 100 },
      { frames: 100, reason: "gap", startMs: 21_030 },
      { frames: 100, reason: "jump", startMs: 22_030 },
      { frames: 100, reason: "ssrc", startMs: 23_030 },
    ]);
    expect(told(ticks)).toEqual([
      "silence 0–500",
      "silence 0–1000",
      ...[21_030, 22_030, 23_030].flatMap((start) => [
        `silence ${start}–${start + 500}`,
        `silence ${start}–${start + 1_000}`,
      ]),
    ]);
  });

  test("wall time follows the media clock: 1,000 ms of media after the anchor", () => {
    const { ticks } = run([{ frames: 100 }]);
    const epoch = Date.UTC(2026, 0, 1);
    expect(ticks[1]).toMatchObject({ wallStartMs: epoch, wallEndMs: epoch + 1_000, wallSource: "arrival" });
  });

  test("with frames of 16 ms a tick takes the frames that were whole by then: 31 at 500 ms, 62 at 1,000 ms", () => {
    const coarse = { ...model, features: { ...features, frameLength: 512, hopLength: 256 } };
    const { ticks } = run([{ frames: 100, speech: [[0, 100]] }], { model: coarse });
    expect(ticks.map(({ end }) => end / 256)).toEqual([31, 62, 93]);
  });

  test("however frames are batched and speech falls, outcomes are the same, one a tick, windows in bounds", () => {
    const spans = fc.array(fc.tuple(fc.nat(600), fc.integer({ min: 1, max: 200 })), { maxLength: 6 });
    fc.assert(
      fc.property(spans, spans, fc.integer({ min: 1, max: 21 }), (speech, lost, step) => {
        const part: Part = {
          frames: 700,
          speech: speech.map(([from, length]) => [from, from + length] as const),
          lost: lost.map(([from, length]) => [from, from + length] as const),
        };
        const { seen, ticks, edges } = run([part], {}, step);
        const single = run([part], {}, 1);
        const timeless = (units: readonly WindowUnit[]) => units.map((unit) => ({ ...unit, arrivalMs: 0 }));
        expect(timeless(seen)).toEqual(timeless(single.seen));
        expect(ticks.length).toBeGreaterThanOrEqual(14);
        expect(ticks.length).toBeLessThanOrEqual(15);
        expect(edges.length % 2).toBe(0);
        for (const tick of ticks) {
          expect(tick.end - tick.start).toBeLessThanOrEqual(48_000);
          if (tick.kind === "window") {
            expect(tick.frames).toBeGreaterThanOrEqual(40);
            expect(tick.end - tick.start).toBe(tick.frames * 160);
          }
        }
        // Every talk-spurt of at least 40 frames was judged or weighed: some tick that is not too-short covers it.
        for (let i = 0; i + 1 < edges.length; i += 2) {
          const [from, to] = [edges[i]?.at ?? 0, edges[i + 1]?.at ?? 0];
          if (to - from < 41 * 160) continue;
          const covered = ticks.some(
            (tick) =>
              (tick.kind === "window" || tick.reason !== "too-short") && tick.start <= to && tick.end >= from,
          );
          expect(covered).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("options out of range are refused by name: hopMs 5, minFrames 301", () => {
    const mediaClock = new MediaClock(new ManualClock());
    expect(() => slidingWindows({ model, mediaClock, hopMs: 5 })).toThrow("hopMs must be 50–5000 ms, got 5");
    const window = { frames: 300, minFrames: 301 };
    expect(() => slidingWindows({ model: { ...model, window }, mediaClock })).toThrow(
      "window.minFrames must be 1–300",
    );
    const short = { ...normalisation, mean: [0] };
    expect(() => slidingWindows({ model: { ...model, normalisation: short }, mediaClock })).toThrow(
      "mean must have 2",
    );
  });
});
