import fc from "fast-check";
import { expect, test } from "vitest";
import type { RtpPacket } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import { createPacketRing, PacketRingReader, PacketRingWriter } from "../../src/shards/packet-ring.ts";

const packet = (length: number, sequence = 7): RtpPacket => ({
  sequence,
  timestamp: 0xfedc_ba98,
  ssrc: 0x8000_0001,
  payloadType: 111,
  marker: sequence % 2 === 0,
  payload: Uint8Array.from({ length }, (_, i) => (i + sequence) & 0xff),
  arrivalMs: monotonicMs(1234.5678),
  ...(sequence % 3 === 0 ? { audioLevel: { voice: sequence % 6 === 0, level: 127 } } : {}),
});

test("every field of 6 packets, with and without level and payload, comes out as it went in", () => {
  const memory = createPacketRing(1 << 12);
  const writer = new PacketRingWriter(memory);
  const reader = new PacketRingReader(memory);
  const sent = [0, 1, 7, 8, 9, 300].map((length, i) => packet(length, i + 1));

  for (const [i, one] of sent.entries()) expect(writer.write(i, one)).toBe(true);
  const got: [number, RtpPacket][] = [];
  const more = reader.read(100, (channel, one) => got.push([channel, one]));

  expect(got).toEqual(sent.map((one, i) => [i, one]));
  expect(more).toBe(false);
});

test("whatever is written and read in whatever order, what was taken comes out in order, and a full ring counts the rest, in 200 runs", () => {
  const step = fc.oneof(
    fc.record({ write: fc.integer({ min: 0, max: 400 }) }),
    fc.record({ read: fc.integer({ min: 1, max: 8 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
      const memory = createPacketRing(1 << 11);
      const writer = new PacketRingWriter(memory);
      const reader = new PacketRingReader(memory);
      const taken: RtpPacket[] = [];
      const got: RtpPacket[] = [];
      let dropped = 0;
      for (const [sequence, one] of steps.entries()) {
        if ("read" in one) {
          reader.read(one.read, (_, came) => got.push(came));
          continue;
        }
        const sent = packet(one.write, sequence);
        if (writer.write(1, sent)) taken.push(sent);
        else dropped++;
      }
      reader.read(1_000, (_, came) => got.push(came));
      expect(got).toEqual(taken);
      expect(writer.dropped).toBe(dropped);
      // An empty ring takes the largest of them again, wherever it stands.
      expect(writer.write(1, packet(400))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("nothing of 1 packet is left in the memory once it was read", () => {
  const memory = createPacketRing(1 << 11);
  new PacketRingWriter(memory).write(3, packet(100));
  new PacketRingReader(memory).read(1, () => undefined);

  expect(new Uint8Array(memory.data).every((byte) => byte === 0)).toBe(true);
});

test("a reader that sleeps is woken once by 3 packets, and does not sleep on one that came before", () => {
  const memory = createPacketRing(1 << 11);
  const writer = new PacketRingWriter(memory);
  const reader = new PacketRingReader(memory);

  expect(writer.takeSleeper()).toBe(false);
  expect(reader.sleep()).toBe(true);
  for (let i = 0; i < 3; i++) writer.write(1, packet(10));
  expect([writer.takeSleeper(), writer.takeSleeper()]).toEqual([true, false]);
  expect(reader.sleep()).toBe(false);
});

test("a payload of 65,536 bytes is dropped and counted: no datagram holds it", () => {
  const writer = new PacketRingWriter(createPacketRing(1 << 18));
  expect(writer.write(1, packet(65_536))).toBe(false);
  expect(writer.dropped).toBe(1);
  expect(writer.write(1, packet(65_535))).toBe(true);
});
