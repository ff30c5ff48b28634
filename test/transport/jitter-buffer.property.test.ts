/** Laws of the jitter buffer that hold for every stream and every network, not only for the ones we thought of. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { MediaUnit } from "../../src/core/media.ts";
import type { RtpPacket } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import { JitterBuffer } from "../../src/transport/jitter-buffer.ts";
import type { JitterStats } from "../../src/transport/jitter-stats.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { FRAME, opusPacket, opusPayload, payloadId, redPacket, TEST_CODECS } from "./packets.ts";

interface Sent {
  readonly packet: RtpPacket;
  /** Media time, unwrapped. */
  readonly ticks: number;
  readonly sentMs: number;
  readonly audio: boolean;
}

/** What the network does to one packet. */
interface Fate {
  readonly copies: number;
  readonly delaysMs: readonly number[];
}

/** What a sender does next: an audio packet after `pause` frames of silence, or a probe without audio. */
interface Step {
  readonly probe: boolean;
  readonly pause: number;
}

const step = (probes: boolean): fc.Arbitrary<Step> =>
  fc.record({
    probe: probes ? fc.boolean() : fc.constant(false),
    pause: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(40) }),
  });

const fate = (lossWeight: number, maxDelayMs: number): fc.Arbitrary<Fate> =>
  fc.record({
    copies: fc.oneof(
      { weight: 10, arbitrary: fc.constant(1) },
      { weight: lossWeight, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.constant(2) },
    ),
    delaysMs: fc.array(fc.nat(maxDelayMs), { minLength: 2, maxLength: 2 }),
  });

/** Streams start near the wraps of sequence and timestamp, or anywhere. */
const origin = fc.record({
  sequence: fc.oneof(fc.integer({ min: 65_500, max: 65_535 }), fc.nat(65_535)),
  ticks: fc.oneof(fc.integer({ min: 2 ** 32 - 50 * FRAME, max: 2 ** 32 - 1 }), fc.nat(2 ** 32 - 1)),
});

function send(from: { sequence: number; ticks: number }, steps: readonly Step[], red: boolean): Sent[] {
  const sent: Sent[] = [];
  let frames = 0;
  steps.forEach(({ probe, pause }, i) => {
    if (!probe) frames += pause;
    const ticks = from.ticks + frames * FRAME;
    const changes = { sequence: (from.sequence + i) & 0xffff, timestamp: ticks % 2 ** 32 };
    const packet = probe
      ? opusPacket(i, { ...changes, payload: new Uint8Array(0) })
      : red
        ? redPacket(i, Math.min(i, 2), changes)
        : opusPacket(i, changes);
    sent.push({ packet, ticks, sentMs: frames * 20, audio: !probe });
    if (!probe) frames++;
  });
  return sent;
}

/** Plays `sent` through the network into a buffer, to the end. */
function receive(sent: readonly Sent[], fates: readonly Fate[]): { units: MediaUnit[]; stats: JitterStats } {
  const arrivals = sent.flatMap(({ packet, sentMs }, i) => {
    const { copies, delaysMs } = fates[i] ?? { copies: 1, delaysMs: [0] };
    return delaysMs.slice(0, copies).map((delayMs) => ({ packet, atMs: sentMs + delayMs }));
  });
  arrivals.sort((a, b) => a.atMs - b.atMs);
  const clock = new ManualClock();
  const units: MediaUnit[] = [];
  const buffer = new JitterBuffer({ clock, codecs: TEST_CODECS }, (unit) => units.push(unit));
  for (const { packet, atMs } of arrivals) {
    clock.advance(atMs - clock.now());
    buffer.push({ ...packet, arrivalMs: clock.now() });
    expect(clock.pending).toBeLessThanOrEqual(2);
  }
  buffer.flush();
  expect(clock.pending).toBe(0);
  return { units, stats: buffer.stats };
}

/** Length of a unit; every packet here is one frame. */
const ticksOf = (unit: MediaUnit): number =>
  unit.kind === "packet" ? FRAME : "durationTicks" in unit ? unit.durationTicks : 0;

const sum = (counts: object): number => Object.values(counts).reduce((total, count) => total + count, 0);

/** The laws that hold for every sender that tells the truth. */
function checkCoverage(sent: readonly Sent[], units: readonly MediaUnit[], stats: JitterStats): void {
  let end: number | undefined;
  const seen = new Set<number>();
  for (const unit of units) {
    if (unit.kind === "stalled" || unit.kind === "reset") continue;
    if (end !== undefined) expect(unit.ticks).toBe(end); // Contiguous, hence strictly increasing and once each.
    end = unit.ticks + ticksOf(unit);
    expect(ticksOf(unit)).toBeGreaterThan(0);
    if (unit.kind !== "packet") continue;
    const id = payloadId(unit.audio.payload);
    expect(seen.has(id)).toBe(false);
    seen.add(id);
    expect(((sent[id]?.ticks ?? -1) - unit.ticks) % 2 ** 32).toBe(0); // Where its sender put it.
  }
  expect(stats.received).toBe(
    seen.size - stats.recovered + stats.late + stats.duplicate + sum(stats.ignored),
  );
  expect(stats.resets).toBe(0);
}

/** What a sender does next, and what becomes of it on the way. */
type Journey = [Step, Fate];

/** Sends packets through a network into a jitter buffer. */
function through(from: { sequence: number; ticks: number }, steps: readonly Journey[], red = false) {
  const sent = send(
    from,
    steps.map(([what]) => what),
    red,
  );
  const { units, stats } = receive(
    sent,
    steps.map(([, fate]) => fate),
  );
  return { sent, units, stats };
}

const stream = (lossWeight: number, maxDelayMs: number, probes: boolean) =>
  fc.tuple(
    origin,
    fc.array(fc.tuple(step(probes), fate(lossWeight, maxDelayMs)), { minLength: 1, maxLength: 80 }),
  );

test("over 500 random networks media time is covered once, and 1 missing packet is exactly 1 frame", () => {
  fc.assert(
    fc.property(stream(2, 120, false), ([from, steps]) => {
      const { sent, units, stats } = through(from, steps);
      checkCoverage(sent, units, stats);
      const ids = units.flatMap((unit) => (unit.kind === "packet" ? [payloadId(unit.audio.payload)] : []));
      const between = (ids.at(-1) ?? 0) - (ids[0] ?? 0) + Math.min(1, ids.length);
      const lost = units.filter((unit) => unit.kind === "lost");
      expect(lost.length).toBe(between - ids.length);
      expect(stats.lost).toBe(lost.length);
      for (const unit of lost) expect(unit.durationTicks).toBe(FRAME);
    }),
    { numRuns: 500 },
  );
});

test("over 300 random networks with probes between the audio, media time is covered once", () => {
  fc.assert(
    fc.property(stream(2, 120, true), ([from, steps]) => {
      const { sent, units, stats } = through(from, steps);
      checkCoverage(sent, units, stats);
    }),
    { numRuns: 300 },
  );
});

test("over 300 random networks with 2 RED copies, what is missing is recovered or lost, each once", () => {
  fc.assert(
    fc.property(stream(4, 60, false), ([from, steps]) => {
      // Copies sit at fixed distances only without pauses.
      const unbroken = steps.map(([what, fate]): Journey => [{ ...what, pause: 0 }, fate]);
      const { sent, units, stats } = through(from, unbroken, true);
      checkCoverage(sent, units, stats);
      const ids = units.flatMap((unit) => (unit.kind === "packet" ? [payloadId(unit.audio.payload)] : []));
      const lost = units.filter((unit) => unit.kind === "lost").length;
      const between = (ids.at(-1) ?? 0) - (ids[0] ?? 0) + Math.min(1, ids.length);
      expect(ids.length + lost).toBe(between);
    }),
    { numRuns: 300 },
  );
});

test("over 300 networks that delay by at most 39 ms, every packet after the first that arrives is used", () => {
  fc.assert(
    fc.property(stream(2, 39, false), ([from, steps]) => {
      const { units } = through(from, steps);
      const used = new Set(
        units.flatMap((unit) => (unit.kind === "packet" ? [payloadId(unit.audio.payload)] : [])),
      );
      const first = Math.min(...used);
      steps.forEach(([, { copies }], id) => {
        if (copies > 0 && id >= first) expect(used.has(id)).toBe(true);
      });
    }),
    { numRuns: 300 },
  );
});

test("300 garbage streams of 120 packets never throw, run backwards, lose count or hoard", () => {
  const near = (around: fc.Arbitrary<number>, spread: number, wrap: number) =>
    fc.tuple(around, fc.nat(spread)).map(([base, offset]) => (base + offset) % wrap);
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.nat(200).map(opusPayload),
    fc.nat(200).map((n) => redPacket(n, 2).payload),
  );
  const garbage = fc.record({
    ssrc: fc.nat(2),
    sequence: fc.oneof(near(fc.constantFrom(0, 65_500, 30_000), 60, 65_536), fc.nat(65_535)),
    timestamp: fc.oneof(
      near(fc.constantFrom(0, 2 ** 32 - 9000, 5e8), 60 * FRAME, 2 ** 32),
      fc.nat(2 ** 32 - 1),
    ),
    payloadType: fc.constantFrom(111, 63, 0, 13, 101, 77),
    marker: fc.boolean(),
    payload,
    waitMs: fc.oneof({ weight: 5, arbitrary: fc.nat(20) }, fc.nat(500)),
  });
  fc.assert(
    fc.property(fc.array(garbage, { maxLength: 120 }), (packets) => {
      const clock = new ManualClock();
      let last = Number.NEGATIVE_INFINITY;
      let emitted = 0;
      const buffer = new JitterBuffer({ clock, codecs: TEST_CODECS }, (unit) => {
        if (unit.kind === "reset") last = Number.NEGATIVE_INFINITY;
        if (!("ticks" in unit)) return;
        expect(unit.ticks).toBeGreaterThan(last);
        last = unit.ticks;
        if (unit.kind === "packet") emitted++;
      });
      for (const { waitMs, ...packet } of packets) {
        clock.advance(waitMs);
        buffer.push({ ...packet, arrivalMs: monotonicMs(clock.now()) });
        expect(clock.pending).toBeLessThanOrEqual(2);
      }
      buffer.flush();
      const { received, recovered, late, duplicate, ignored } = buffer.stats;
      expect(received).toBe(packets.length);
      expect(received).toBe(emitted - recovered + late + duplicate + sum(ignored));
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test("20,000 packets behind a hole that never fills hold at most 1,024 of them", () => {
  const clock = new ManualClock();
  let emitted = 0;
  const buffer = new JitterBuffer(
    { clock, codecs: TEST_CODECS, minWaitMs: 1000, maxWaitMs: 2000 },
    (unit) => {
      if (unit.kind === "packet") emitted++;
    },
  );
  // Every second number is missing, and time stands still.
  for (let n = 0; n < 20_000; n++) {
    buffer.push(opusPacket(2 * n, { arrivalMs: monotonicMs(0) }));
    expect(n + 1 - emitted).toBeLessThanOrEqual(1024);
  }
});
