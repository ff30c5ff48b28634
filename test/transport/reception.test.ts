import { expect, test } from "vitest";
import { monotonicMs, wallMs } from "../../src/core/units.ts";
import { Reception } from "../../src/transport/reception.ts";
import { opusPacket } from "./packets.ts";

test("of 100 packets 10 are missing: 10 lost, 25 of 256; then 50 more without loss: 0 of 256", () => {
  const reception = new Reception(48_000);
  for (let n = 0; n < 100; n++) if (n % 10 !== 5) reception.take(opusPacket(n));
  expect(reception.report(monotonicMs(2_000))).toMatchObject({
    packetsLost: 10,
    fractionLost: 25,
    highestSequence: 99,
  });
  for (let n = 100; n < 150; n++) reception.take(opusPacket(n));
  expect(reception.report(monotonicMs(3_000))).toMatchObject({ packetsLost: 10, fractionLost: 0 });
});

test("the highest sequence number counts 1 wrap, in its upper 16 bits", () => {
  const reception = new Reception(48_000);
  for (let n = 65_500; n < 65_600; n++) reception.take(opusPacket(n));
  expect(reception.report(monotonicMs(0))).toMatchObject({ highestSequence: 0x1_0000 + 63, packetsLost: 0 });
});

test("even packets have 0 jitter, and ones that come 10 ms early and late in turn about 20 ms", () => {
  const even = new Reception(48_000);
  const uneven = new Reception(48_000);
  for (let n = 0; n < 200; n++) {
    even.take(opusPacket(n));
    uneven.take(opusPacket(n, { arrivalMs: monotonicMs(n * 20 + (n % 2 === 0 ? 10 : -10)) }));
  }
  expect(even.report(monotonicMs(0)).jitter).toBe(0);
  expect(uneven.report(monotonicMs(0)).jitter).toBeCloseTo(960, -1);
});

test("a sender report 1.5 s ago is 98,304 of 65,536ths", () => {
  const reception = new Reception(48_000);
  const ntpWallMs = wallMs(Date.UTC(2026, 0, 1) + 500);
  reception.takeReport({ ssrc: 1, ntpWallMs, rtpTimestamp: 0, arrivalMs: monotonicMs(1_000) });
  const { lastSenderReport, delaySinceLastSenderReport } = reception.report(monotonicMs(2_500));
  expect(lastSenderReport & 0xffff).toBe(0x8000);
  expect(delaySinceLastSenderReport).toBe(98_304);
});

test("a sender that begins anew 30,000 ahead has lost 0", () => {
  const reception = new Reception(48_000);
  for (let n = 0; n < 10; n++) reception.take(opusPacket(n));
  for (let n = 30_000; n < 30_010; n++) reception.take(opusPacket(n));
  expect(reception.report(monotonicMs(0))).toMatchObject({
    packetsLost: 0,
    fractionLost: 0,
    highestSequence: 30_009,
  });
});
