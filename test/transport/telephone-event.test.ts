/** Keys off RTP packets: telephone-event.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RtpPacket } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import { TelephoneEvents } from "../../src/transport/index.ts";

const KEYS = "0123456789*#ABCD";

/** The packets of one press: three updates of 20 ms, and the end three times (RFC 4733 §2.5.1.4). */
function press(key: string, timestamp: number, ssrc = 7): RtpPacket[] {
  const event = KEYS.indexOf(key);
  return [160, 320, 480, 640, 640, 640].map((duration, i) => ({
    ssrc,
    timestamp: timestamp >>> 0,
    sequence: i,
    payloadType: 101,
    marker: i === 0,
    payload: Uint8Array.of(event, i >= 3 ? 0x8a : 0x0a, duration >> 8, duration & 0xff),
    arrivalMs: monotonicMs(0),
  }));
}

const read = (packets: readonly RtpPacket[]): string => {
  const events = new TelephoneEvents();
  return packets.map((packet) => events.take(packet) ?? "").join("");
};

describe("telephone events", () => {
  test("any row of keys is read once each, if 1 packet or more of each arrives, doubled or out of order within its press", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom(...KEYS),
            fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 9 }),
          ),
          { maxLength: 12 },
        ),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (presses, start) => {
          const packets = presses.flatMap(([key, order], i) => {
            const all = press(key, start + i * 1_600);
            return order.flatMap((n) => all[n] ?? []);
          });
          expect(read(packets)).toBe(presses.map(([key]) => key).join(""));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("a key held for 10 s is 1 press: an event that outgrows its 16 bits goes on as segments", () => {
    const packet = (timestamp: number, duration: number): RtpPacket => ({
      ...(press("9", timestamp)[0] as RtpPacket),
      payload: Uint8Array.of(9, 10, duration >> 8, duration & 0xff),
      marker: timestamp === 0,
    });
    const held = [packet(0, 160), packet(0, 65_535), packet(65_535, 160), packet(65_535, 14_465)];
    expect(read(held)).toBe("9");
    // The same key again, after a pause, is another.
    expect(read([...held, packet(90_000, 160)])).toBe("99");
  });

  test("late packets of the press before, 1 flash and 2 payloads that are none say nothing", () => {
    const [star, nine] = [press("*", 1_000), press("9", 3_000)];
    expect(read([...star.slice(0, 2), ...nine, ...star.slice(2)])).toBe("*9");
    const flash = { ...(star[0] as RtpPacket), payload: Uint8Array.of(16, 10, 0, 160) };
    const short = { ...(star[0] as RtpPacket), timestamp: 9_000, payload: Uint8Array.of(9, 10) };
    const unknown = { ...(star[0] as RtpPacket), timestamp: 12_000, payload: Uint8Array.of(200, 10, 0, 160) };
    expect(read([flash, short, unknown])).toBe("");
  });
});
