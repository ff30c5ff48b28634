/** Laws of SRTP that hold for every packet: what was protected opens, what was touched does not, nothing opens twice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { serializeRtp } from "../../../src/transport/rtp-packet.ts";
import { SRTP_SUITES, SrtpReceiver, SrtpSender } from "../../../src/transport/srtp/index.ts";
import { masterKey, packetNumber, rtpPacket } from "./support.ts";

const anySuite = fc.constantFrom(...SRTP_SUITES);
const anyMki = fc.option(fc.uint8Array({ minLength: 1, maxLength: 8 }), { nil: undefined });
const anyPacket = fc
  .record({
    sequence: fc.nat(0xffff),
    timestamp: fc.nat(0xffff_ffff),
    ssrc: fc.nat(0xffff_ffff),
    payloadType: fc.nat(127),
    marker: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 1_500 }),
    csrcs: fc.array(fc.nat(0xffff_ffff), { maxLength: 15 }),
    extensions: fc.array(
      fc.record({ id: fc.integer({ min: 1, max: 14 }), data: fc.uint8Array({ maxLength: 20 }) }),
      {
        maxLength: 4,
      },
    ),
    paddingBytes: fc.nat(255),
  })
  .map(serializeRtp);
const anyRtcp = fc.uint8Array({ minLength: 8, maxLength: 1_200 });

test("any packet with any header opens to itself", () => {
  fc.assert(
    fc.property(anySuite, anyMki, anyPacket, anyRtcp, (suite, mki, packet, rtcp) => {
      const sender = new SrtpSender(masterKey(suite, 0, mki));
      const receiver = new SrtpReceiver(masterKey(suite, 0, mki));
      expect(receiver.unprotectRtp(sender.protectRtp(packet))).toEqual(packet);
      expect(receiver.unprotectRtcp(sender.protectRtcp(rtcp))).toEqual(rtcp);
    }),
    { numRuns: 300 },
  );
});

test("any packet with 1 bit flipped, or with its end cut off, does not pass and is left as it was", () => {
  fc.assert(
    fc.property(
      anySuite,
      anyMki,
      anyPacket,
      anyRtcp,
      fc.nat(),
      fc.boolean(),
      (suite, mki, rtp, rtcp, at, cut) => {
        const sender = new SrtpSender(masterKey(suite, 0, mki));
        const receiver = new SrtpReceiver(masterKey(suite, 0, mki));
        for (const kind of ["Rtp", "Rtcp"] as const) {
          const sealed = kind === "Rtp" ? sender.protectRtp(rtp) : sender.protectRtcp(rtcp);
          const touched = cut ? sealed.slice(0, at % sealed.length) : sealed.slice();
          const bit = at % (8 * sealed.length);
          if (!cut) touched[bit >> 3] = (touched[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          const before = touched.slice();
          const result = kind === "Rtp" ? receiver.unprotectRtp(touched) : receiver.unprotectRtcp(touched);
          expect(result).toBeTypeOf("string");
          expect(touched).toEqual(before);
        }
        expect(receiver.sources).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});

test("under any key but its own a packet does not pass", () => {
  fc.assert(
    fc.property(
      anySuite,
      anyPacket,
      anyRtcp,
      fc.integer({ min: 1, max: 255 }),
      (suite, rtp, rtcp, variant) => {
        const sender = new SrtpSender(masterKey(suite, variant));
        const receiver = new SrtpReceiver(masterKey(suite));
        expect(receiver.unprotectRtp(sender.protectRtp(rtp))).toBe("not-authentic");
        expect(receiver.unprotectRtcp(sender.protectRtcp(rtcp))).toBe("not-authentic");
      },
    ),
    { numRuns: 200 },
  );
});

test("reordered by up to 500 and doubled at random, every packet passes exactly once, over a rollover", () => {
  const fate = fc.record({ delay: fc.nat(500), copies: fc.integer({ min: 1, max: 3 }) });
  const fates = fc.array(fate, { minLength: 200, maxLength: 300 });
  fc.assert(
    fc.property(anySuite, fc.integer({ min: 65_300, max: 65_535 }), fates, (suite, first, fates) => {
      const sender = new SrtpSender(masterKey(suite));
      const receiver = new SrtpReceiver(masterKey(suite));
      const numbers = fates.map((_, i) => first + i);
      const arrivals = fates.flatMap(({ delay, copies }, i) => {
        const sealed = sender.protectRtp(rtpPacket(numbers[i] ?? 0));
        // RFC 3711 §3.3.1: the first packet to come tells where the stream begins.
        return Array.from({ length: copies }, (_, copy) => ({
          at: i === 0 ? copy : i + copy + delay,
          sealed,
        }));
      });
      const results = arrivals
        .sort((a, b) => a.at - b.at)
        .map(({ sealed }) => packetNumber(receiver.unprotectRtp(sealed.slice())));
      const passed = results.filter((result) => typeof result === "number");
      expect(passed.sort((a, b) => a - b)).toEqual(numbers);
      expect(receiver.stats.rejected["not-authentic"]).toBe(0);
    }),
    { numRuns: 40 },
  );
});
