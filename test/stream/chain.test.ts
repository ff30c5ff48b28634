/** The four operators together, on Opus packets of speech whose times are known. */
import { type Observable, pipe, Subject, tap } from "rxjs";
import { describe, expect, test } from "vitest";
import { DEFAULT_FEATURE_SPEC, featureChannels } from "../../src/core/feature-spec.ts";
import type { FrameStore, MediaUnit, PcmOrigin } from "../../src/core/media.ts";
import { MediaClock } from "../../src/core/media-clock.ts";
import type { Normalisation } from "../../src/core/model.ts";
import { type CodecMap, OPUS } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import type { WindowUnit } from "../../src/core/window.ts";
import {
  createDecodeStats,
  createOpusDecoder,
  decodeAudio,
  featureFrames,
  type SlidingWindowsOptions,
  slidingWindows,
} from "../../src/stream/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { drain, type Fate, mediaUnits, OPUS_TYPE, startUnit } from "../support/media-units.ts";
import { encodeOpus } from "../support/opus-encoding.ts";
import { pseudoRandom, speechLike } from "../support/speech-like.ts";

const channels = featureChannels(DEFAULT_FEATURE_SPEC);
const normalisation: Normalisation = {
  kind: "speaker",
  mean: new Array<number>(channels).fill(0),
  std: new Array<number>(channels).fill(10),
  priorFrames: 300,
  maxFrames: 6_000,
};
const model = { features: DEFAULT_FEATURE_SPEC, window: { frames: 300, minFrames: 40 }, normalisation };
const codecs: CodecMap = new Map([[OPUS_TYPE, OPUS]]);

const spurts = [
  [1, 2.4],
  [3.2, 3.8],
  [5, 9],
] as const;
const speech = speechLike({ seconds: 11, spurts });
const packets = await encodeOpus(speech, { fec: true, packetLossPercent: 20 });

async function makeChain(model: SlidingWindowsOptions["model"]) {
  const mediaClock = new MediaClock(new ManualClock(100_000));
  const stats = createDecodeStats();
  const opus = await createOpusDecoder();
  let store: FrameStore | undefined;
  const operators: (source: Observable<MediaUnit>) => Observable<WindowUnit> = pipe(
    decodeAudio({ opus, codecs, mediaClock, stats }),
    featureFrames({ features: model.features, windowFrames: model.window.frames }),
    tap((unit) => {
      if (unit.kind === "frames") store = unit.store;
    }),
    slidingWindows({ model, mediaClock }),
  );
  return { operators, stats, opus, store: () => store };
}

async function run(units: readonly MediaUnit[], of: SlidingWindowsOptions["model"] = model) {
  const { operators, stats } = await makeChain(of);
  const keep = (unit: WindowUnit): WindowUnit =>
    unit.kind === "window" ? { ...unit, features: unit.features.slice() } : unit;
  const seen = drain(units, operators, keep);
  const ticks = seen.filter((unit) => unit.kind !== "speech");
  expect(ticks.map(({ index }) => index)).toEqual(ticks.map((_, i) => i));
  return { seen, ticks, edges: seen.filter((unit) => unit.kind === "speech"), stats };
}

function expectEdges(edges: readonly { state: string; mediaMs: number }[], toleranceMs: number): void {
  expect(edges.map(({ state }) => state)).toEqual(spurts.flatMap(() => ["started", "ended"]));
  for (const [i, truth] of spurts.flat().entries()) {
    expect(Math.abs((edges[i]?.mediaMs ?? 0) - truth * 1_000), `edge ${i}`).toBeLessThanOrEqual(toleranceMs);
  }
}

describe("packets to windows", () => {
  test("11 s with three talk-spurts: edges within 20 ms of the truth, 21 ticks, windows where speech is", async () => {
    const { ticks, edges, stats } = await run([startUnit, ...mediaUnits(packets)]);

    expectEdges(edges, 20);
    const names = ticks.map((tick) => (tick.kind === "gated" ? tick.reason : "window"));
    expect(names.join(" ")).toBe(
      [
        ...["silence", "silence", "too-short", "window", "window"], // 0.5–2.5 s: the first talk-spurt
        ...["silence", "too-short", "too-short", "window", "silence"], // 3–5 s: the second, of 600 ms
        ...["too-short", "window", "window", "window", "window", "window", "window", "window"], // 5.5–9 s
        ...["silence", "silence", "silence"],
      ].join(" "),
    );
    expect(ticks.map(({ mediaEndMs }) => mediaEndMs).filter((ms) => ms % 500 === 0)).toHaveLength(20);
    const full = ticks[17];
    expect(full).toMatchObject({
      kind: "window",
      frames: 300,
      mediaStartMs: 6_000,
      mediaEndMs: 9_000,
      lossShare: 0,
    });
    expect(stats.samples).toEqual({ decoded: 176_000, recovered: 0, concealed: 0, lost: 0, dtx: 0 });
  });

  test("a tick is complete at most 120 ms after its time, and its wall time is that of arrival", async () => {
    const { ticks } = await run([startUnit, ...mediaUnits(packets, { firstArrivalMs: 50_000 })]);
    for (const tick of ticks) {
      const lateMs = tick.arrivalMs - (50_000 + tick.mediaEndMs);
      if (tick.mediaEndMs % 500 === 0) expect(lateMs).toBeLessThanOrEqual(120);
      // A talk-spurt of 600 ms waits for the first tick after its hangover.
      else expect(lateMs).toBeLessThanOrEqual(300 + 500 + 120);
      expect(tick.wallEndMs).toBeCloseTo(Date.UTC(2026, 0, 1) + 50_000 + tick.mediaEndMs, 3);
    }
  });

  test("with 10 % loss every tick is accounted for, edges stay within 40 ms, and no audio is unexplained", async () => {
    const random = pseudoRandom(11);
    const fates = packets.map(
      (_, i): Fate => (i > 0 && i + 1 < packets.length && random() < -0.8 ? "lost" : "packet"),
    );
    const { ticks, edges, stats } = await run([
      startUnit,
      ...mediaUnits(packets, { fate: (i) => fates[i] ?? "packet" }),
    ]);

    const lost = fates.filter((fate) => fate === "lost").length;
    const { decoded, recovered, concealed, lost: silent } = stats.samples;
    expect(lost).toBeGreaterThan(30);
    expect(ticks).toHaveLength(21);
    expectEdges(edges, 40);
    expect(decoded).toBe((packets.length - lost) * 320);
    expect(recovered + concealed + silent).toBe(lost * 320);
    expect(recovered).toBeGreaterThan(0);
    expect(Math.max(...ticks.map(({ lossShare }) => lossShare))).toBeGreaterThan(0);
  });

  test("with the sender's DTX (pauses not sent at all) edges stay within 20 ms", async () => {
    const dtx = await encodeOpus(speech, { dtx: true });
    const fate = (i: number): Fate => ((dtx[i]?.length ?? 0) <= 2 ? "gap" : "packet");
    const { edges, stats } = await run([startUnit, ...mediaUnits(dtx, { fate })]);
    expect(stats.samples.dtx).toBeGreaterThan(16_000);
    expectEdges(edges, 20);
  });

  test("packets of 60 ms give the same edges within 20 ms and the same number of ticks, 21", async () => {
    const long = await encodeOpus(speech, { packetMs: 60 });
    const { ticks, edges } = await run([startUnit, ...mediaUnits(long, { packetMs: 60 })]);
    expectEdges(edges, 20);
    expect(ticks).toHaveLength(21);
  });

  test("normalised features of a long talk-spurt have a mean within 0.5 and a deviation of 0.5–2 on most channels", async () => {
    const talk = speechLike({ seconds: 40, spurts: [[0.5, 39.5]] });
    const light = { ...model, normalisation: { ...normalisation, priorFrames: 1 } };
    const { ticks } = await run([startUnit, ...mediaUnits(await encodeOpus(talk))], light);
    const window = ticks.filter((tick) => tick.kind === "window").at(-1);
    if (window === undefined) throw new RangeError("there is a window");
    let good = 0;
    for (let c = 0; c < channels; c++) {
      const row = window.features.subarray(c * 300, (c + 1) * 300);
      const mean = row.reduce((sum, x) => sum + x, 0) / 300;
      const deviation = Math.sqrt(row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 300);
      if (Math.abs(mean) < 0.5 && deviation > 0.5 && deviation < 2) good++;
    }
    expect(good / channels).toBeGreaterThan(0.8);
  });

  test("2,000 units of noise, garbage, resets and jumps in any order: no error, indexes 0, 1, 2 …", async () => {
    const random = pseudoRandom(5);
    const pick = (below: number): number => Math.floor(((random() + 1) / 2) * below);
    const units: MediaUnit[] = [];
    let ticks = 0;
    for (let i = 0; i < 2_000; i++) {
      const arrivalMs = monotonicMs(i * 20);
      const payload =
        pick(4) === 0 ? Uint8Array.from({ length: pick(80) }, () => pick(256)) : packets[i % packets.length];
      const roll = pick(100);
      if (roll < 2) units.push({ kind: "reset", reason: roll === 0 ? "ssrc" : "jump", arrivalMs });
      else if (roll < 4) units.push({ kind: "stalled", arrivalMs });
      else {
        const [unit] = mediaUnits(
          [payload ?? new Uint8Array(), packets[(i + 1) % packets.length] ?? new Uint8Array()],
          {
            firstTicks: ticks,
            firstArrivalMs: i * 20,
            payloadType: pick(50) === 0 ? 77 : OPUS_TYPE,
            fate: (at) => (at === 1 ? "packet" : roll < 14 ? "lost" : roll < 18 ? "gap" : "packet"),
          },
        );
        if (unit !== undefined) units.push(unit);
        ticks += roll === 50 ? pick(200_000) : 960;
      }
    }
    const { ticks: outcomes, stats } = await run(units);
    expect(outcomes.length).toBeGreaterThan(60);
    expect(stats.invalidPackets).toBeGreaterThan(0);
    const origins = Object.entries(stats.samples).filter(([, samples]) => samples > 0);
    expect(origins.map(([origin]) => origin as PcmOrigin)).toEqual([
      "decoded",
      "recovered",
      "concealed",
      "lost",
      "dtx",
    ]);
  });

  test("a lent window of 300 frames is wiped after its emission; unsubscribing wipes frames and decoder", async () => {
    const { operators, opus, store } = await makeChain(model);
    const source = new Subject<MediaUnit>();
    let lent: Float32Array | undefined;
    let heard = false;
    const subscription = source.pipe(operators).subscribe((unit) => {
      if (unit.kind !== "window") return;
      lent = unit.features;
      heard ||= lent.some((x) => x !== 0);
    });
    for (const unit of [startUnit, ...mediaUnits(packets.slice(0, 400))]) source.next(unit);
    expect(heard).toBe(true);
    expect(lent?.every((x) => x === 0)).toBe(true);

    subscription.unsubscribe();

    expect(source.observed).toBe(false);
    expect(() => store()?.copy(300, 1, new Float32Array(channels), 1)).toThrow("closed");
    expect(() => opus.conceal(320)).toThrow("closed");
  });
});
