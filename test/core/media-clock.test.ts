import { expect, test } from "vitest";
import { MediaClock } from "../../src/core/media-clock.ts";
import { monotonicMs, rtpTicks, sampleIndex, wallMs } from "../../src/core/units.ts";
import { ManualClock } from "../support/manual-clock.ts";

const EPOCH = Date.UTC(2026, 0, 1);

test("without sender reports a sample's wall time is that of the least delayed of 3 packets", () => {
  const clock = new ManualClock(0, EPOCH);
  const media = new MediaClock(clock);
  // 20 ms of audio each; they took 30, 5 and 80 ms on the way.
  for (const [packet, delay] of [30, 15, 80].entries()) {
    clock.advance((packet + 1) * 20 + delay - clock.now());
    media.arrived(sampleIndex((packet + 1) * 320), clock.now());
  }

  const wall = media.wallOf(sampleIndex(0));

  expect(wall.source).toBe("arrival");
  expect(wall.wallMs - EPOCH).toBeCloseTo(15, 1);
});

test("a sender report ties ticks to NTP time within 0.1 ms, also across the 32-bit wrap", () => {
  const clock = new ManualClock(0, EPOCH);
  const media = new MediaClock(clock);
  const before = 2 ** 32 - 48_000;
  media.anchor(rtpTicks(before), sampleIndex(16_000), 48_000);
  // Two seconds after the anchor the 32-bit timestamp has wrapped.
  media.report({
    ssrc: 1,
    rtpTimestamp: 48_000,
    ntpWallMs: wallMs(EPOCH + 5_000),
    arrivalMs: monotonicMs(0),
  });

  const wall = media.wallOf(sampleIndex(16_000));

  expect(wall.source).toBe("ntp");
  expect(wall.wallMs - EPOCH).toBeCloseTo(3_000, 1);
});

test("a report that comes before the 1st packet is used once the stream is anchored", () => {
  const media = new MediaClock(new ManualClock(0, EPOCH));
  media.report({ ssrc: 1, rtpTimestamp: 960, ntpWallMs: wallMs(EPOCH), arrivalMs: monotonicMs(0) });
  expect(media.wallOf(sampleIndex(0)).source).toBe("arrival");

  media.anchor(rtpTicks(0), sampleIndex(0), 48_000);

  expect(media.wallOf(sampleIndex(320)).wallMs).toBe(EPOCH);
});

test("after 13 h without a break, past half of the 32-bit range, a report is right to 0.1 ms", () => {
  const media = new MediaClock(new ManualClock(0, EPOCH));
  const elapsedMs = 13 * 3_600_000;
  media.anchor(rtpTicks(0), sampleIndex(0), 48_000);
  media.arrived(sampleIndex(elapsedMs * 16), monotonicMs(elapsedMs));

  media.report({
    ssrc: 1,
    rtpTimestamp: (elapsedMs * 48) % 2 ** 32,
    ntpWallMs: wallMs(EPOCH + elapsedMs),
    arrivalMs: monotonicMs(elapsedMs),
  });

  expect(media.wallOf(sampleIndex(0)).wallMs - EPOCH).toBeCloseTo(0, 1);
});

test("of 2 SSRCs the report of the next one waits for its stream, and the last one's is never used for it", () => {
  const media = new MediaClock(new ManualClock(0, EPOCH));
  const report = (ssrc: number, wall: number) =>
    media.report({ ssrc, rtpTimestamp: 0, ntpWallMs: wallMs(wall), arrivalMs: monotonicMs(0) });
  media.begin(1);
  media.anchor(rtpTicks(0), sampleIndex(0), 48_000);
  report(1, 1_000);
  report(2, 9_000);
  expect(media.wallOf(sampleIndex(0)).wallMs).toBe(1_000);

  media.begin(2);
  media.anchor(rtpTicks(0), sampleIndex(16_000), 48_000);
  expect(media.wallOf(sampleIndex(16_000)).wallMs).toBe(9_000);

  media.begin(3);
  media.anchor(rtpTicks(0), sampleIndex(32_000), 48_000);
  expect(media.wallOf(sampleIndex(32_000)).source).toBe("arrival");
});

test("a sender that stands still for 30 s and goes on with its old timestamps is in time again after 2 s", () => {
  const clock = new ManualClock(0, EPOCH);
  const media = new MediaClock(clock);
  const play = (packets: number, from: number): void => {
    for (let packet = from; packet < from + packets; packet++) {
      clock.advance(20);
      media.arrived(sampleIndex((packet + 1) * 320), clock.now());
    }
  };
  play(100, 0);
  clock.advance(30_000);
  play(50, 100);
  expect(media.wallOf(sampleIndex(48_000)).wallMs - EPOCH).toBeCloseTo(3_000, -1);

  play(100, 150);

  expect(media.wallOf(sampleIndex(80_000)).wallMs - EPOCH).toBeCloseTo(35_000, -1);
});

test("a network that holds 1.5 s of packets back and gives them at once moves wall time by less than 2 ms", () => {
  const clock = new ManualClock(0, EPOCH);
  const media = new MediaClock(clock);
  for (let packet = 0; packet < 250; packet++) {
    if (packet < 100 || packet >= 175) clock.advance(20);
    if (packet === 100) clock.advance(75 * 20);
    media.arrived(sampleIndex((packet + 1) * 320), clock.now());
    const off = media.wallOf(sampleIndex(0)).wallMs - EPOCH;
    expect(Math.abs(off)).toBeLessThan(2);
  }
});
