import fc from "fast-check";
import { Subject } from "rxjs";
import { describe, expect, test } from "vitest";
import type { MediaUnit, PcmOrigin, PcmUnit } from "../../src/core/media.ts";
import { MediaClock } from "../../src/core/media-clock.ts";
import { COMFORT_NOISE, type CodecMap, OPUS, PCMA, PCMU, TELEPHONE_EVENT } from "../../src/core/rtp.ts";
import { monotonicMs, rtpTicks, sampleIndex, wallMs } from "../../src/core/units.ts";
import {
  createDecodeStats,
  createOpusDecoder,
  type DecodeAudioOptions,
  decodeAudio,
} from "../../src/stream/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { drain, type Fate, mediaUnits, OPUS_TYPE, startUnit } from "../support/media-units.ts";
import { encodeOpus } from "../support/opus-encoding.ts";
import { levelDb, speechLike } from "../support/speech-like.ts";

const codecs: CodecMap = new Map([
  [OPUS_TYPE, OPUS],
  [0, PCMU],
  [8, PCMA],
  [13, COMFORT_NOISE],
  [101, TELEPHONE_EVENT],
]);
const speech = speechLike({ seconds: 2, spurts: [[0, 2]] });
const packets = await encodeOpus(speech, { fec: true, packetLossPercent: 30 });
const plain = await encodeOpus(speech);
/** 20 ms of A-law, a 400 Hz square wave. */
const alaw = Uint8Array.from({ length: 160 }, (_, i) => (i % 20 < 10 ? 0x92 : 0x12));

type Pcm = Extract<PcmUnit, { kind: "pcm" }>;

async function decode(units: readonly MediaUnit[], options: Partial<DecodeAudioOptions> = {}) {
  const mediaClock = new MediaClock(new ManualClock());
  const stats = createDecodeStats();
  const opus = await createOpusDecoder();
  const keep = (unit: PcmUnit): PcmUnit =>
    unit.kind === "pcm" ? { ...unit, samples: unit.samples.slice() } : unit;
  const out = drain(units, decodeAudio({ opus, codecs, mediaClock, stats, ...options }), keep);
  const pcm = out.filter((unit) => unit.kind === "pcm");
  const resets = out.filter((unit) => unit.kind === "reset");
  return { out, pcm, resets, stats, mediaClock };
}

/** `decoded×320 lost×160`: what came, in order, neighbours of one origin added up. */
function summary(pcm: readonly Pcm[]): string {
  const runs: { origin: PcmOrigin; samples: number }[] = [];
  for (const { origin, samples } of pcm) {
    const last = runs.at(-1);
    if (last?.origin === origin) last.samples += samples.length;
    else runs.push({ origin, samples: samples.length });
  }
  return runs.map(({ origin, samples }) => `${origin}×${samples}`).join(" ");
}

function expectContiguous(units: readonly PcmUnit[]): void {
  let position = 0;
  for (const unit of units) {
    if (unit.kind === "reset") {
      expect(unit.start).toBeGreaterThanOrEqual(position);
      position = unit.start;
    } else if (unit.kind === "pcm") {
      expect(unit.start).toBe(position);
      position += unit.samples.length;
    }
  }
}

describe("decodeAudio", () => {
  test("100 packets of 20 ms are 32,000 samples from 0, after one reset", async () => {
    const { out, pcm, stats } = await decode([startUnit, ...mediaUnits(packets)]);
    expect(out[0]).toMatchObject({ kind: "reset", reason: "start", start: 0 });
    expect(summary(pcm)).toBe("decoded×32000");
    expect(stats).toMatchObject({ decodedPackets: 100, samples: { decoded: 32_000 } });
    expectContiguous(out);
  });

  test("the first unit is preceded by a reset even if the source sent none: 1 reset", async () => {
    const { out, resets } = await decode(mediaUnits(packets.slice(0, 3)));
    expect(resets).toHaveLength(1);
    expect(out[0]?.kind).toBe("reset");
  });

  test("one lost packet costs exactly 320 samples, recovered from the next one's FEC", async () => {
    const fate = (i: number): Fate => (i === 50 ? "lost" : "packet");
    const { pcm } = await decode([startUnit, ...mediaUnits(packets, { fate })]);
    expect(summary(pcm)).toBe("decoded×16000 recovered×320 decoded×15680");
  });

  test("without FEC in the next packet the same 320 samples are concealed, and say so", async () => {
    const fate = (i: number): Fate => (i === 50 ? "lost" : "packet");
    const { pcm } = await decode([startUnit, ...mediaUnits(plain, { fate })]);
    expect(summary(pcm)).toBe("decoded×16000 concealed×320 decoded×15680");
  });

  test("of 6 packets lost in a row 60 ms are concealed, 40 ms are silence, the last is recovered", async () => {
    const fate = (i: number): Fate => (i >= 45 && i < 51 ? "lost" : "packet");
    const { pcm, stats } = await decode([startUnit, ...mediaUnits(packets, { fate })]);
    expect(summary(pcm)).toBe("decoded×14400 concealed×960 lost×640 recovered×320 decoded×15680");
    expect(stats.samples).toEqual({ decoded: 30_080, recovered: 320, concealed: 960, lost: 640, dtx: 0 });
  });

  test("40 ms lost as one unit before a 20 ms packet: the first half concealed, the second recovered", async () => {
    const units = mediaUnits(packets.slice(0, 52)).toSpliced(49, 2, {
      kind: "lost",
      ticks: rtpTicks(49 * 960),
      clockRateHz: 48_000,
      durationTicks: 1_920,
      next: { payload: packets[51] ?? new Uint8Array(), payloadType: OPUS_TYPE },
      arrivalMs: monotonicMs(0),
    });
    const { pcm } = await decode([startUnit, ...units]);
    expect(summary(pcm)).toBe("decoded×15680 concealed×320 recovered×320 decoded×320");
  });

  test("what is lost before the first packet is silence: nothing to conceal from, 320 samples", async () => {
    const { pcm } = await decode([
      startUnit,
      ...mediaUnits(plain.slice(0, 3), { fate: (i) => (i === 0 ? "lost" : "packet") }),
    ]);
    expect(summary(pcm)).toBe("lost×320 decoded×640");
  });

  test("a pause of 1,000 ms is filled with noise below −65 dB; one of 1,020 ms is jumped over", async () => {
    const pause =
      (from: number, to: number) =>
      (i: number): Fate =>
        i >= from && i < to ? "gap" : "packet";
    const short = await decode([startUnit, ...mediaUnits(packets, { fate: pause(10, 60) })]);
    const long = await decode([startUnit, ...mediaUnits(packets, { fate: pause(10, 61) })]);

    expect(summary(short.pcm)).toBe("decoded×3200 dtx×16000 decoded×12800");
    const fill = short.pcm.filter(({ origin }) => origin === "dtx").flatMap(({ samples }) => [...samples]);
    expect(levelDb(fill)).toBeCloseTo(-70, 0);
    expect(long.resets).toMatchObject([{ reason: "start" }, { reason: "gap", start: 61 * 320 }]);
    expect(summary(long.pcm)).toBe("decoded×15680");
    expect(long.stats.longGaps).toBe(1);
    expectContiguous(long.out);
  });

  test("the sender's DTX packets of 1 byte are decoded, as dtx", async () => {
    const silence = speechLike({ seconds: 3, spurts: [[0, 0.5]], noiseDb: -90 });
    const payloads = await encodeOpus(silence, { dtx: true });
    const { pcm } = await decode([startUnit, ...mediaUnits(payloads)]);
    const dtx = payloads.filter((payload) => payload.length <= 2).length;
    expect(dtx).toBeGreaterThan(50);
    expect(pcm.filter(({ origin }) => origin === "dtx")).toHaveLength(dtx);
  });

  test("switches Opus → A-law → Opus in mid-stream without losing a sample or needing a reset", async () => {
    const units = [
      startUnit,
      ...mediaUnits(packets.slice(0, 5)),
      ...mediaUnits([alaw, alaw, alaw], { payloadType: 8, clockRateHz: 8_000, firstTicks: 777 }),
      ...mediaUnits(packets.slice(5, 10), { firstTicks: 5_000_000 }),
    ];
    const { out, resets, pcm } = await decode(units);
    expect(summary(pcm)).toBe("decoded×4160");
    expect(resets).toHaveLength(1);
    expectContiguous(out);
  });

  test("A-law: one lost packet of 8 is concealed at full length, 320 samples of more than −25 dB", async () => {
    const units = mediaUnits(new Array<Uint8Array>(8).fill(alaw), {
      payloadType: 8,
      clockRateHz: 8_000,
      fate: (i) => (i === 4 ? "lost" : "packet"),
    });
    const { pcm } = await decode([startUnit, ...units]);
    expect(summary(pcm)).toBe("decoded×1280 concealed×320 decoded×960");
    expect(levelDb(pcm.find(({ origin }) => origin === "concealed")?.samples ?? [])).toBeGreaterThan(-25);
  });

  test("30 payloads that Opus refuses are counted and concealed, then silence; the chain lives on", async () => {
    const garbage = Uint8Array.of((3 << 3) | 3, 3, 1, 2, 3);
    const units = mediaUnits(plain.map((payload, i) => (i >= 40 && i < 70 ? garbage : payload)));
    const { pcm, stats, out } = await decode([startUnit, ...units]);
    expect(summary(pcm)).toBe("decoded×12800 concealed×960 lost×8640 decoded×9600");
    expect(stats.invalidPackets).toBe(30);
    expectContiguous(out);
  });

  test("payload type 77 means nothing: 3 packets counted, their time is lost audio, not a crash", async () => {
    const units = [
      ...mediaUnits(packets.slice(0, 5)),
      ...mediaUnits(packets.slice(5, 8), { payloadType: 77, firstTicks: 5 * 960 }),
      ...mediaUnits(packets.slice(8, 10), { firstTicks: 8 * 960 }),
    ];
    const { pcm, stats } = await decode([startUnit, ...units]);
    expect(summary(pcm)).toBe("decoded×1600 lost×960 decoded×640");
    expect(stats.unknownPackets).toBe(3);
  });

  test("comfort noise and telephone events stand for a pause of 60 ms that was meant", async () => {
    const cn = Uint8Array.of(60);
    const g711 = { payloadType: 8, clockRateHz: 8_000 };
    const { pcm, stats } = await decode([
      startUnit,
      ...mediaUnits([alaw], g711),
      ...mediaUnits([cn], { ...g711, payloadType: 13, firstTicks: 160 }),
      ...mediaUnits([Uint8Array.of(1, 0, 0, 160)], { ...g711, payloadType: 101, firstTicks: 320 }),
      ...mediaUnits([alaw], { ...g711, firstTicks: 640 }),
    ]);
    expect(summary(pcm)).toBe("decoded×320 dtx×960 decoded×320");
    expect(stats.silentPackets).toBe(2);
  });

  test("an empty payload (a bandwidth probe) takes no time: 1 counted", async () => {
    const units = mediaUnits(packets.slice(0, 4)).toSpliced(
      2,
      0,
      ...mediaUnits([new Uint8Array(0)], { firstTicks: 1_920 }),
    );
    const { pcm, stats } = await decode([startUnit, ...units]);
    expect(summary(pcm)).toBe("decoded×1280");
    expect(stats.silentPackets).toBe(1);
  });

  test("timestamps that stray by up to 2.5 ms change no sample; 10 ms overlap is cut, a 10 ms hole filled", async () => {
    const at = (ticks: readonly number[]) =>
      ticks.flatMap((firstTicks, i) => mediaUnits([plain[i] ?? new Uint8Array()], { firstTicks }));
    const jittery = await decode([startUnit, ...at([0, 1_000, 1_880, 2_900])]);
    const overlap = await decode([startUnit, ...at([0, 480, 1_440])]);
    const hole = await decode([startUnit, ...at([0, 1_440, 2_400])]);
    expect(summary(jittery.pcm)).toBe("decoded×1280");
    expect(summary(overlap.pcm)).toBe("decoded×800");
    expect(overlap.stats.trimmedSamples).toBe(160);
    expect(summary(hole.pcm)).toBe("decoded×320 lost×160 decoded×640");
  });

  test("a timeline that falls back by 2 s begins a new history: 1 reset, media time goes on", async () => {
    const units = [
      ...mediaUnits(packets.slice(0, 100), { firstTicks: 960_000 }),
      ...mediaUnits(packets.slice(0, 2)),
    ];
    const { resets, out } = await decode([startUnit, ...units]);
    expect(resets).toMatchObject([{ reason: "start" }, { reason: "jump", start: 32_000 }]);
    expectContiguous(out);
  });

  test("after an SSRC change samples go on at 3,200, and the old sender's reports are forgotten", async () => {
    const mediaClock = new MediaClock(new ManualClock());
    mediaClock.report({ ssrc: 1, ntpWallMs: wallMs(5_000), rtpTimestamp: 0, arrivalMs: monotonicMs(0) });
    const ssrc: MediaUnit = { kind: "reset", reason: "ssrc", arrivalMs: monotonicMs(300) };
    const first = [startUnit, ...mediaUnits(packets.slice(0, 10))];
    const before = await decode(first, { mediaClock });
    expect(mediaClock.wallOf(sampleIndex(3_200))).toEqual({ wallMs: 5_200, source: "ntp" });

    const { resets } = await decode(
      [...first, ssrc, ...mediaUnits(packets.slice(10, 20), { firstTicks: 7 })],
      { mediaClock },
    );

    expect(before.resets).toHaveLength(1);
    expect(resets[1]).toMatchObject({ reason: "ssrc", start: 3_200 });
    expect(mediaClock.wallOf(sampleIndex(0)).source).toBe("arrival");
  });

  test("a sender report is exact over a jumped gap of 1,100 ms", async () => {
    const fate = (i: number): Fate => (i >= 10 && i < 65 ? "gap" : "packet");
    const mediaClock = new MediaClock(new ManualClock());
    await decode([startUnit, ...mediaUnits(packets, { fate, firstTicks: 10_000 })], { mediaClock });
    mediaClock.report({
      ssrc: 1,
      ntpWallMs: wallMs(9_000),
      rtpTimestamp: 10_000 + 96_000,
      arrivalMs: monotonicMs(0),
    });
    expect(mediaClock.wallOf(sampleIndex(0)).wallMs).toBeCloseTo(7_000, 6);
  });

  test("a stall is passed on, and an audio level stays with its packet: 127 with V unset", async () => {
    const stalled: MediaUnit = { kind: "stalled", arrivalMs: monotonicMs(9) };
    const audioLevel = { voice: false, level: 127 };
    const units = mediaUnits(packets.slice(0, 1), { audioLevel: () => audioLevel });
    const { out } = await decode([startUnit, ...units, stalled]);
    expect(out[1]).toMatchObject({ kind: "pcm", audioLevel });
    expect(out[2]).toBe(stalled);
  });

  test("whatever 60 packets become, samples are contiguous and as long as their RTP time, within 2.5 ms", async () => {
    const fates = fc.array(fc.constantFrom("packet", "lost", "gap", "garbage", "unknown"), {
      minLength: 1,
      maxLength: 60,
    });
    const garbage = Uint8Array.of((3 << 3) | 3, 0);
    await fc.assert(
      fc.asyncProperty(fates, fc.integer({ min: -(2 ** 33), max: 2 ** 33 }), async (list, firstTicks) => {
        const payloads = list.map((fate, i) => (fate === "garbage" ? garbage : (packets[i] ?? garbage)));
        const units = mediaUnits(payloads, {
          firstTicks,
          fate: (i) => (list[i] === "lost" || list[i] === "gap" ? (list[i] as "lost" | "gap") : "packet"),
        }).map((unit) => {
          const index = (("ticks" in unit ? unit.ticks : 0) - firstTicks) / 960;
          return unit.kind === "packet" && list[index] === "unknown"
            ? { ...unit, audio: { ...unit.audio, payloadType: 77 } }
            : unit;
        });
        const last = {
          ...mediaUnits([packets[60] ?? garbage], { firstTicks: firstTicks + list.length * 960 })[0],
        };
        const { out, stats } = await decode([startUnit, ...units, last as MediaUnit]);
        expectContiguous(out);
        const end = out.reduce(
          (position, unit) =>
            unit.kind === "pcm"
              ? unit.start + unit.samples.length
              : unit.kind === "reset"
                ? unit.start
                : position,
          0,
        );
        // Until the first unit of a known type there is no time.
        const unheard = Math.max(
          0,
          list.findIndex((fate) => fate !== "unknown"),
        );
        const skipped = list.every((fate) => fate === "unknown") ? list.length : unheard;
        expect(Math.abs(end - (list.length + 1 - skipped) * 320)).toBeLessThanOrEqual(40);
        expect(stats.trimmedSamples).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test("closes its decoder at completion and at unsubscribe, and serves 1 subscription", async () => {
    const mediaClock = new MediaClock(new ManualClock());
    const [opus, other] = [await createOpusDecoder(), await createOpusDecoder()];
    const source = new Subject<MediaUnit>();
    const subscription = source.pipe(decodeAudio({ opus, codecs, mediaClock })).subscribe();
    expect(opus.conceal(320)).toHaveLength(320);
    subscription.unsubscribe();
    expect(() => opus.conceal(320)).toThrow("closed");
    expect(source.observed).toBe(false);

    const operator = decodeAudio({ opus: other, codecs, mediaClock });
    expect(drain([startUnit], operator)).toHaveLength(1);
    expect(() => other.conceal(320)).toThrow("closed");
    expect(() => drain([startUnit], operator)).toThrow("serves one subscription");
  });

  test("an unsubscribe from within an emission frees the decoder once, after the unit of 60 ms", async () => {
    const opus = await createOpusDecoder();
    const mediaClock = new MediaClock(new ManualClock());
    const source = new Subject<MediaUnit>();
    const seen: PcmUnit[] = [];
    const subscription = source.pipe(decodeAudio({ opus, codecs, mediaClock })).subscribe((unit) => {
      seen.push(unit);
      if (unit.kind === "pcm") subscription.unsubscribe();
    });
    source.next(startUnit);
    source.next({
      kind: "gap",
      ticks: rtpTicks(0),
      durationTicks: 2_880,
      clockRateHz: 48_000,
      arrivalMs: monotonicMs(0),
    });
    expect(seen).toHaveLength(2);
    expect(() => opus.conceal(320)).toThrow("closed");
  });

  test("options out of range are refused by name: maxConcealMs 121", async () => {
    const opus = await createOpusDecoder();
    const mediaClock = new MediaClock(new ManualClock());
    expect(() => decodeAudio({ opus, codecs, mediaClock, maxConcealMs: 121 })).toThrow(
      "maxConcealMs must be 0–120",
    );
    opus.close();
  });
});
