/** RTCP: sender reports with exact time, BYE, CNAME and NACK; garbage is read as far as it makes sense. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { RtcpPacketConverter, RtcpSrPacket, RtcpTransportLayerFeedback } from "werift";
import { monotonicMs, wallMs } from "../../src/core/units.ts";
import { concatBytes } from "../../src/transport/bytes.ts";
import {
  isRtcp,
  ntpToWallMs,
  parseRtcp,
  serializeBye,
  serializeCname,
  serializeNack,
  serializeReceiverReport,
  serializeSenderReport,
  wallMsToNtp,
} from "../../src/transport/rtcp.ts";
import { serializeRtp } from "../../src/transport/rtp-packet.ts";

const now = monotonicMs(7);

test("half of 2³² in the NTP fraction is 500 ms, and era 1 goes on after 2036", () => {
  expect(ntpToWallMs(2_208_988_800, 0x8000_0000)).toBe(500);
  expect(ntpToWallMs(0xffff_ffff, 0)).toBe(Date.UTC(2036, 1, 7, 6, 28, 15));
  expect(ntpToWallMs(0, 0)).toBe(Date.UTC(2036, 1, 7, 6, 28, 16));
});

test("times of 1970 to 2100 survive NTP to 1 µs", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 4.1e12, noNaN: true }), (ms) => {
      const { seconds, fraction } = wallMsToNtp(wallMs(ms));
      expect(Math.abs(ntpToWallMs(seconds, fraction) - ms)).toBeLessThan(1e-3);
    }),
  );
});

test("a compound of 4 packets gives its report, name, leaver and request", () => {
  const report = {
    ssrc: 0xdead_beef,
    ntpWallMs: wallMs(Date.UTC(2026, 0, 1) + 250),
    rtpTimestamp: 0xffff_fff0,
    packets: 10,
    octets: 1000,
  };
  const compound = concatBytes([
    serializeSenderReport(report),
    serializeCname(0xdead_beef, "grüße@host"),
    serializeNack(1, 0xdead_beef, [65_530, 65_535, 3, 100]),
    serializeBye(0xdead_beef),
  ]);
  expect(isRtcp(compound)).toBe(true);
  expect(parseRtcp(compound, now)).toEqual({
    senderReports: [
      { ssrc: 0xdead_beef, ntpWallMs: report.ntpWallMs, rtpTimestamp: 0xffff_fff0, arrivalMs: now },
    ],
    byes: [0xdead_beef],
    cnames: [{ ssrc: 0xdead_beef, cname: "grüße@host" }],
    nacks: [{ ssrc: 0xdead_beef, sequences: [65_530, 65_535, 3, 100] }],
    malformed: false,
  });
});

test("werift reads the same 3 packets that we write", () => {
  const wall = wallMs(1_770_000_000_125);
  const [sr] = RtcpPacketConverter.deSerialize(
    Buffer.from(serializeSenderReport({ ssrc: 5, ntpWallMs: wall, rtpTimestamp: 6, packets: 7, octets: 8 })),
  );
  if (!(sr instanceof RtcpSrPacket)) expect.fail("not a sender report");
  const { ntpTimestamp, rtpTimestamp, packetCount, octetCount } = sr.senderInfo;
  expect([sr.ssrc, rtpTimestamp, packetCount, octetCount]).toEqual([5, 6, 7, 8]);
  expect(ntpToWallMs(Number(ntpTimestamp >> 32n), Number(ntpTimestamp & 0xffff_ffffn))).toBe(wall);

  const compound = concatBytes([serializeReceiverReport(1), serializeNack(1, 9, [4, 5, 20, 21])]);
  const nack = RtcpPacketConverter.deSerialize(Buffer.from(compound))[1];
  if (!(nack instanceof RtcpTransportLayerFeedback)) expect.fail("not a NACK");
  expect(nack.feedback).toMatchObject({ mediaSourceSsrc: 9, lost: [4, 5, 20, 21] });
});

test("any set of up to 200 sequence numbers survives a NACK in order", () => {
  const ascending = fc
    .tuple(fc.integer({ min: 0, max: 0xffff }), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 199 }))
    .map(([first, steps]) => {
      const sequences = [first];
      for (const step of steps) sequences.push(((sequences.at(-1) ?? 0) + step) & 0xffff);
      return sequences;
    });
  fc.assert(
    fc.property(ascending, (sequences) => {
      expect(parseRtcp(serializeNack(1, 2, sequences), now).nacks).toEqual([{ ssrc: 2, sequences }]);
    }),
  );
});

test("a name of 300 bytes is cut to 255, and every length up to there fills whole words", () => {
  for (let length = 0; length <= 300; length++) {
    const packet = serializeCname(1, "x".repeat(length));
    expect(packet.length % 4).toBe(0);
    const report = parseRtcp(packet, now);
    expect(report.cnames).toEqual([{ ssrc: 1, cname: "x".repeat(Math.min(length, 255)) }]);
    expect(report.malformed).toBe(false);
  }
});

test("a sender report with an all-zero NTP time says nothing, and 1 cut off is malformed", () => {
  const packet = serializeSenderReport({
    ssrc: 1,
    ntpWallMs: wallMs(0),
    rtpTimestamp: 0,
    packets: 0,
    octets: 0,
  });
  const noClock = packet.slice();
  noClock.fill(0, 8, 16);
  expect(parseRtcp(noClock, now)).toMatchObject({ senderReports: [], malformed: false });
  const twice = concatBytes([packet, packet.subarray(0, 20)]);
  expect(parseRtcp(twice, now)).toMatchObject({ senderReports: [{ ssrc: 1 }], malformed: true });
});

test("2,000 random compounds never throw", () => {
  const type = fc.constantFrom(200, 201, 202, 203, 205, 206);
  const almost = fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 120 }), type)
    .map(([bytes, kind]) => Uint8Array.of(0x80 | ((bytes[0] ?? 0) & 31), kind, 0, ...bytes.subarray(3)));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), almost), (bytes) => {
      expect(parseRtcp(bytes, now).senderReports.length).toBeLessThanOrEqual(bytes.length / 28);
    }),
    { numRuns: 2000 },
  );
});

test("of the 256 second bytes of RTP, 32 are RTCP: payload types 64–95 with the marker", () => {
  const rtcp: number[] = [];
  for (let second = 0; second < 256; second++) {
    const packet = serializeRtp({
      sequence: 0,
      timestamp: 0,
      ssrc: 0,
      payloadType: second & 127,
      marker: second > 127,
      payload: new Uint8Array(0),
    });
    if (isRtcp(packet)) rtcp.push(second);
  }
  expect(rtcp).toEqual(Array.from({ length: 32 }, (_, i) => 192 + i));
  expect(isRtcp(new Uint8Array(0))).toBe(false);
});

test("of a datagram of 60 kB, which would name 255,000 packets, nothing is read", () => {
  const nack = new Uint8Array(60_000);
  nack.set([0x81, 205, (nack.length / 4 - 1) >> 8, (nack.length / 4 - 1) & 255]);

  expect(parseRtcp(nack, now)).toEqual({
    senderReports: [],
    byes: [],
    cnames: [],
    nacks: [],
    malformed: true,
  });
});
