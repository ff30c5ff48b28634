/** Windows of real speech, cut and scaled by the whole chain, judged by their new frames: the answers are the whole stream's. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { MediaClock } from "../../src/core/media-clock.ts";
import { sampleIndex, wallMs } from "../../src/core/units.ts";
import { VirtualClock } from "../../src/core/virtual-clock.ts";
import type { DroppedWindow, EmotionEstimate, FeatureWindow } from "../../src/core/window.ts";
import {
  DynamicBatcher,
  loadModelPackage,
  type ModelPackage,
  OnnxBackend,
} from "../../src/inference/index.ts";
import { createDecodeStats, createOpusDecoder } from "../../src/stream/index.ts";
import { FileSource } from "../../src/transport/file/file-source.ts";
import { createJitterStats } from "../../src/transport/index.ts";
import { windowChain } from "../../src/window-chain.ts";
import { TINY_STREAMING_DIR, type TinyNetwork, tinyNetwork } from "../inference/tiny-network.ts";

const recording = (name: string): string =>
  fileURLToPath(new URL(`../../assets/demo/${name}.opus`, import.meta.url));

let model: ModelPackage;
let network: TinyNetwork;
let backend: OnnxBackend;
let whole: OnnxBackend;
/** By speaker and cut. */
let recorded: FeatureWindow[][][];

beforeAll(async () => {
  model = await loadModelPackage(TINY_STREAMING_DIR);
  network = await tinyNetwork();
  backend = new OnnxBackend({ device: "cpu", maxBatch: 8 });
  whole = new OnnxBackend({ device: "cpu", maxBatch: 8, incremental: false });
  await backend.load(model);
  await whole.load(model);
  recorded = [await windowsOf("anna"), await windowsOf("ben")];
});
afterAll(async () => {
  await backend.close();
  await whole.close();
});

/** A hop and the steps that windows are cut to. */
type Cut = readonly [hopMs: number, strideFrames?: number];
const CUTS: readonly Cut[] = [[1_000, 5], [500, 5], [250, 5], [100, 5], [70, 5], [70]];
/** How many windows were made again after they were given out, as they were; and how many could not be. */
const again = { alike: 0, late: 0 };
/** Media of each recording that is played. */
const PLAYED_MS = 10_000;

/** The windows of a recording, by RTP, jitter buffer, Opus and feature kernel, kept; for each cut. */
async function windowsOf(name: string): Promise<FeatureWindow[][]> {
  const clock = new VirtualClock(wallMs(0));
  const source = new FileSource(recording(name), { clock, complexity: 0 });
  const kept = CUTS.map(() => [] as FeatureWindow[]);
  for (const [i, [hopMs, strideFrames]] of CUTS.entries()) {
    const scales = { own: model.manifest.normalisation, strideFrames };
    const run = {
      opus: await createOpusDecoder(),
      mediaClock: new MediaClock(clock),
      jitterStats: createJitterStats(),
      decodeStats: createDecodeStats(),
      startSample: sampleIndex(0),
      firstIndex: 0,
    };
    const parts = { clock, config: parseConfig({ window: { hopMs } }), manifest: model.manifest };
    let before: FeatureWindow | undefined;
    const makeAgain = (window: FeatureWindow | undefined): void => {
      if (window?.writeWhole === undefined) return;
      const out = new Float32Array(window.features.length);
      if (!window.writeWhole(out)) again.late++;
      else if (out.every((value, at) => value === window.features[at])) again.alike++;
    };
    source.packets.pipe(windowChain(source, { ...parts, scales: () => scales }, run)).subscribe((unit) => {
      if (unit.kind === "window") {
        // Of this one it is too late when the next has come.
        makeAgain(before);
        before = copyOf(unit);
        // 40 ms on, when other packets have come.
        const late = before;
        clock.schedule(40, () => makeAgain(late));
      }
      if (unit.kind === "window" && unit.mediaEndMs <= PLAYED_MS) kept[i]?.push(copyOf(unit));
      if (clock.now() > PLAYED_MS + 1_000) void source.close();
    });
  }
  await source.play();
  return kept;
}

function copyOf(window: FeatureWindow): FeatureWindow {
  const { features, freshFeatures } = window;
  return {
    ...window,
    features: features.slice(),
    ...(freshFeatures && { freshFeatures: freshFeatures.slice() }),
  };
}

const cut = (speaker: number, hopMs: number, strideFrames?: number): FeatureWindow[] =>
  recorded[speaker]?.[CUTS.findIndex(([hop, stride]) => hop === hopMs && stride === strideFrames)] ?? [];

/** Frames [from, to) of features [C, stride]. */
const framesOf = (features: Float32Array, stride: number, from: number, to: number): Float32Array[] =>
  Array.from({ length: to - from }, (_, t) =>
    Float32Array.from({ length: features.length / stride }, (_, c) => features[c * stride + from + t] ?? 0),
  );

/** What each window should be judged: by all frames of its stream from where it began. */
function expected(windows: readonly FeatureWindow[]): { probabilities: number[]; heard: number }[] {
  const streams: { frames: Float32Array[]; embeddings: number[][] }[] = [];
  const places = windows.map(({ features, frames, fresh = frames }) => {
    if (fresh === frames) streams.push({ frames: [], embeddings: [] });
    const stream = streams.at(-1);
    stream?.frames.push(...framesOf(features, 300, frames - fresh, frames));
    return { stream, heard: stream?.frames.length ?? 0 };
  });
  for (const stream of streams) stream.embeddings = network.encode(stream.frames);
  return places.map(({ stream, heard }) => ({
    probabilities: network.judge(stream?.embeddings.slice(0, Math.ceil(heard / 5)) ?? []),
    heard,
  }));
}

const farthest = (answer: EmotionEstimate | DroppedWindow, want: readonly number[]): number =>
  answer.kind === "dropped"
    ? Number.POSITIVE_INFINITY
    : Math.max(...want.map((p, i) => Math.abs(p - (answer.probabilities[i] ?? 0))));

describe("windows judged by their new frames", () => {
  it.each([1_000, 500, 250, 100])(
    "at a hop of %i ms, give the stream's answer to 1e-4, and the window's own where it is all of the stream",
    async (hopMs) => {
      const speakers = [cut(0, hopMs, 5), cut(1, hopMs, 5)];
      const common = { manifest: model.manifest, maxBatch: 8, maxDelayMs: 5, deadlineMs: 60_000 };
      const incremental = new DynamicBatcher({ ...common, backends: [backend] });
      const alone = new DynamicBatcher({ ...common, backends: [whole] });
      const wanted = speakers.map(expected);
      let compared = 0;

      const most = Math.max(...speakers.map(({ length }) => length));
      for (let i = 0; i < most; i++) {
        await Promise.all(
          speakers.map(async (windows, speaker) => {
            const window = windows[i];
            const want = wanted[speaker]?.[i];
            if (window === undefined || want === undefined) return;
            const answer = await incremental.submit(`${speaker}`, window);
            expect(farthest(answer, want.probabilities)).toBeLessThan(1e-4);
            if (want.heard > 300) return;
            compared++;
            const own = await alone.submit(`${speaker}`, window);
            expect(farthest(own, want.probabilities)).toBeLessThan(1e-4);
          }),
        );
      }
      const { streams, estimated } = incremental.stats;
      await incremental.close();
      await alone.close();

      const all = speakers.flat();
      const begun = all.filter(({ fresh, frames }) => fresh === frames);
      expect(streams).toMatchObject({ steps: all.length - begun.length, rebuilds: begun.length, evicted: 0 });
      expect(estimated).toBe(all.length);
      expect(begun.length).toBeLessThan(all.length);
      expect(compared).toBeGreaterThan(5);
    },
  );

  it("cuts windows of a hop of 70 ms, 7 frames, as ever: each stands alone", () => {
    const windows = cut(0, 70, 5);
    const plain = cut(0, 70);

    expect(windows.every(({ fresh }) => fresh === undefined)).toBe(true);
    expect(windows.map(({ frames }) => frames)).toEqual(plain.map(({ frames }) => frames));
    expect(windows[20]?.features).toEqual(plain[20]?.features);
  });

  it("can be made again 40 ms after they were given out, the same floats, and not once 1 other has followed", () => {
    const continued = recorded.flat(2).filter(({ freshFeatures }) => freshFeatures).length;

    expect(continued).toBeGreaterThan(50);
    expect(again.alike).toBeGreaterThanOrEqual(continued);
    expect(again.late).toBeGreaterThan(50);
  });

  it("gives the new frames alone as the same floats as in the whole window, 100 ms apart", () => {
    const windows = cut(0, 100, 5).filter(({ freshFeatures }) => freshFeatures);

    expect(windows.length).toBeGreaterThan(20);
    for (const { features, freshFeatures = new Float32Array(), frames, fresh = 0 } of windows) {
      const fromWhole = framesOf(features, 300, frames - fresh, frames);
      expect(framesOf(freshFeatures, fresh, 0, fresh)).toEqual(fromWhole);
    }
  });
});
