import { Subject } from "rxjs";
import { describe, expect, test } from "vitest";
import { DEFAULT_FEATURE_SPEC } from "../../src/core/feature-spec.ts";
import type { FrameStore, FrameUnit, PcmOrigin, PcmUnit } from "../../src/core/media.ts";
import type { AudioLevel } from "../../src/core/rtp.ts";
import { monotonicMs, sampleIndex } from "../../src/core/units.ts";
import { createFeatureExtractor } from "../../src/stream/features/index.ts";
import { featureFrames } from "../../src/stream/index.ts";
import { drain } from "../support/media-units.ts";
import { speechLike } from "../support/speech-like.ts";

const options = { features: DEFAULT_FEATURE_SPEC, windowFrames: 300 };
const speech = speechLike({ seconds: 4, spurts: [[1, 3]] });

interface PcmOptions {
  readonly start?: number;
  readonly piece?: number;
  readonly origin?: (index: number) => PcmOrigin;
  readonly audioLevel?: (index: number) => AudioLevel | undefined;
}

function pcmUnits(
  samples: Float32Array,
  { start = 0, piece = 320, origin, audioLevel }: PcmOptions = {},
): PcmUnit[] {
  return Array.from({ length: Math.ceil(samples.length / piece) }, (_, i) => {
    const level = audioLevel?.(i);
    return {
      kind: "pcm" as const,
      samples: samples.slice(i * piece, (i + 1) * piece),
      start: sampleIndex(start + i * piece),
      origin: origin?.(i) ?? "decoded",
      arrivalMs: monotonicMs((i + 1) * 20),
      ...(level === undefined ? {} : { audioLevel: level }),
    };
  });
}

const reset = (reason: "start" | "ssrc" | "gap", start = 0): PcmUnit => ({
  kind: "reset",
  reason,
  start: sampleIndex(start),
  arrivalMs: monotonicMs(0),
});

/** Flags of all frames, read when the last unit comes; the store holds them all (capacity ≥ 400). */
function flags(units: readonly PcmUnit[]) {
  const seen: FrameUnit[] = [];
  let speechFlags: boolean[] = [];
  let lostFlags: boolean[] = [];
  drain(units, featureFrames({ ...options, windowFrames: 400 }), (unit) => {
    seen.push(unit);
    if (unit.kind === "frames") {
      const frames = Array.from({ length: unit.first + unit.count }, (_, frame) => frame);
      speechFlags = frames.map((frame) => unit.store.isSpeech(frame));
      lostFlags = frames.map((frame) => unit.store.isLost(frame));
    }
    return unit;
  });
  return { seen, speech: speechFlags, lost: lostFlags };
}

const count = (list: readonly boolean[]): number => list.filter(Boolean).length;

describe("featureFrames", () => {
  test("4 s give frames 0, 1, 2 … without a break, equal to one extractor's over all samples", () => {
    const extractor = createFeatureExtractor(DEFAULT_FEATURE_SPEC, { capacityFrames: 500 });
    const completed = extractor.push(speech);
    const channels = extractor.channels;
    const expected = new Float32Array(channels * completed);
    extractor.copy(0, completed, expected, completed);
    const heard = new Float32Array(channels * completed);
    let next = 0;

    drain([reset("start"), ...pcmUnits(speech)], featureFrames(options), (unit) => {
      if (unit.kind !== "frames") return unit;
      expect(unit.first).toBe(next);
      next += unit.count;
      const block = new Float32Array(channels * unit.count);
      unit.store.copy(unit.first, unit.count, block, unit.count);
      for (let c = 0; c < channels; c++) {
        heard.set(block.subarray(c * unit.count, (c + 1) * unit.count), c * completed + unit.first);
      }
      return unit;
    });

    expect(next).toBe(completed);
    expect(heard).toEqual(expected);
    extractor.close();
  });

  test("the store holds 300 frames and 120 ms more, in packets of 20 and of 120 ms", () => {
    for (const piece of [320, 1_920]) {
      const capacities = new Set<number>();
      let windows = 0;
      drain([reset("start"), ...pcmUnits(speech, { piece })], featureFrames(options), (unit) => {
        if (unit.kind === "frames") {
          capacities.add(unit.store.capacity);
          const end = unit.first + unit.count;
          if (end >= 300) {
            unit.store.copy(end - 300, 300, new Float32Array(unit.store.channels * 300), 300);
            windows++;
          }
        }
        return unit;
      });
      expect([...capacities]).toEqual([313]);
      expect(windows).toBeGreaterThan(5);
    }
  });

  test("speech from 1.00 to 3.00 s is flagged there and nowhere else, to 3 frames", () => {
    const { speech: found } = flags([reset("start"), ...pcmUnits(speech)]);
    expect(Math.abs(found.indexOf(true) - 98)).toBeLessThanOrEqual(3);
    expect(Math.abs(found.lastIndexOf(true) - 299)).toBeLessThanOrEqual(3);
    expect(count(found)).toBeGreaterThan(150);
  });

  test.each(["concealed", "lost"] as const)(
    "of 5 packets %s, the frames that rest mostly on them are lost: 10, and no others",
    (bad) => {
      const origin = (i: number): PcmOrigin => (i >= 75 && i < 80 ? bad : "decoded");
      const { lost } = flags([reset("start"), ...pcmUnits(speech, { origin })]);
      // 1,500–1,600 ms; a frame of 25 ms is mostly lost from 12.5 ms before on.
      expect(lost.indexOf(true)).toBe(149);
      expect(lost.lastIndexOf(true)).toBe(158);
      expect(count(lost)).toBe(10);
    },
  );

  test("recovered audio and meant silence are not lost: 0 frames", () => {
    for (const origin of ["recovered", "dtx", "decoded"] as const) {
      const { lost } = flags([reset("start"), ...pcmUnits(speech, { origin: () => origin })]);
      expect(count(lost)).toBe(0);
    }
  });

  test("DTX is no speech, whatever its energy: 0 frames of 4 s", () => {
    const { speech: found } = flags([reset("start"), ...pcmUnits(speech, { origin: () => "dtx" })]);
    expect(count(found)).toBe(0);
  });

  test("the V bit is obeyed once it has been seen set: speech ends at 2.00 s, 1 s early", () => {
    const audioLevel = (i: number): AudioLevel => ({ voice: i >= 40 && i < 100, level: 30 });
    const { speech: found } = flags([reset("start"), ...pcmUnits(speech, { audioLevel })]);
    expect(Math.abs(found.lastIndexOf(true) - 199)).toBeLessThanOrEqual(1);
  });

  test("a sender that never sets V is heard all the same: over 150 speech frames", () => {
    const audioLevel = (): AudioLevel => ({ voice: false, level: 30 });
    const { speech: found } = flags([reset("start"), ...pcmUnits(speech, { audioLevel })]);
    expect(count(found)).toBeGreaterThan(150);
  });

  test("level 127 is silence even if V is never used: 0 speech frames", () => {
    const audioLevel = (): AudioLevel => ({ voice: false, level: 127 });
    const { speech: found } = flags([reset("start"), ...pcmUnits(speech, { audioLevel })]);
    expect(count(found)).toBe(0);
  });

  test("after a reset at 99,000 frames begin at 0 again, from there; stalls are passed on", () => {
    const { seen } = flags([
      reset("start"),
      ...pcmUnits(speech.subarray(0, 16_000)),
      { kind: "stalled", arrivalMs: monotonicMs(1_000) },
      reset("ssrc", 99_000),
      ...pcmUnits(speech.subarray(0, 16_000), { start: 99_000 }),
    ]);
    const at = seen.findIndex((unit) => unit.kind === "reset" && unit.reason === "ssrc");
    expect(seen[at - 1]?.kind).toBe("stalled");
    expect(seen[at + 1]).toMatchObject({ kind: "frames", first: 0, origin: 99_000 });
    expect(seen[1]).toMatchObject({ kind: "frames", first: 0, origin: 0 });
  });

  test("during a reset's emission the old 90 frames can still be read, after it not", () => {
    const source = new Subject<PcmUnit>();
    let store: FrameStore | undefined;
    let readable = 0;
    const out = new Float32Array(DEFAULT_FEATURE_SPEC.mfcc * 4 * 90);
    source.pipe(featureFrames(options)).subscribe((unit) => {
      if (unit.kind === "frames") store = unit.store;
      else if (store !== undefined) {
        store.copy(0, 90, out, 90);
        readable++;
      }
    });
    for (const unit of pcmUnits(speech.subarray(0, 16_000))) source.next(unit);
    source.next(reset("gap", 99_000));
    expect(readable).toBe(1);
    expect(() => store?.copy(0, 90, out, 90)).toThrow("frames");
  });

  test("unsubscribing wipes and closes: the store's features are gone, its flags are 0", () => {
    const source = new Subject<PcmUnit>();
    let store: FrameStore | undefined;
    const subscription = source.pipe(featureFrames(options)).subscribe((unit) => {
      if (unit.kind === "frames") store = unit.store;
    });
    for (const unit of pcmUnits(speech)) source.next(unit);
    expect(store?.isSpeech(200)).toBe(true);

    subscription.unsubscribe();

    expect(source.observed).toBe(false);
    expect(store?.isSpeech(200)).toBe(false);
    expect(() => store?.copy(200, 1, new Float32Array(200), 1)).toThrow(
      expect.objectContaining({ code: "closed" }),
    );
  });

  test("bad options are refused by name: windowFrames 0, a spec of 44.1 kHz", () => {
    expect(() => featureFrames({ ...options, windowFrames: 0 })).toThrow(
      "windowFrames must be 1–3000, got 0",
    );
    const features = { ...DEFAULT_FEATURE_SPEC, sampleRateHz: 44_100 };
    expect(() => featureFrames({ ...options, features })).toThrow("sampleRateHz");
  });
});
