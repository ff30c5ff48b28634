/** RTP on the wire: what is written is read back, and nothing that comes in can throw. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { monotonicMs } from "../../src/core/units.ts";
import {
  audioLevelExtension,
  parseRtp,
  RTP_MALFORMED,
  type RtpFields,
  serializeRtp,
} from "../../src/transport/rtp-packet.ts";

const now = monotonicMs(1234.5);
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

const extension = fc.record({
  id: fc.integer({ min: 1, max: 255 }),
  data: fc.uint8Array({ minLength: 0, maxLength: 40 }),
});
const fields: fc.Arbitrary<RtpFields> = fc.record({
  sequence: fc.integer({ min: 0, max: 0xffff }),
  timestamp: fc.integer({ min: 0, max: 0xffff_ffff }),
  ssrc: fc.integer({ min: 0, max: 0xffff_ffff }),
  payloadType: fc.integer({ min: 0, max: 127 }),
  marker: fc.boolean(),
  payload: fc.uint8Array({ maxLength: 200 }),
  csrcs: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 15 }),
  extensions: fc.array(extension, { maxLength: 5 }),
  paddingBytes: fc.integer({ min: 0, max: 255 }),
});

test("a packet of 12 header bytes and 3 of payload is read field by field", () => {
  const packet = parseRtp(hex("80 ef 1234 89abcdef fedcba98 010203"), now);
  expect(packet).toEqual({
    sequence: 0x1234,
    timestamp: 0x89abcdef,
    ssrc: 0xfedcba98,
    payloadType: 111,
    marker: true,
    payload: Uint8Array.of(1, 2, 3),
    arrivalMs: now,
  });
});

test("1,000 random packets come back as they were written, whatever CSRCs, extensions and padding they carry", () => {
  fc.assert(
    fc.property(fields, (sent) => {
      const { sequence, timestamp, ssrc, payloadType, marker, payload } = sent;
      expect(parseRtp(serializeRtp(sent), now)).toEqual({
        sequence,
        timestamp,
        ssrc,
        payloadType,
        marker,
        payload,
        arrivalMs: now,
      });
    }),
    { numRuns: 1000 },
  );
});

test("2,000 random datagrams give a packet or one of 5 named reasons, never an exception", () => {
  const almostRtp = fc
    .tuple(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0x80, max: 0xbf }))
    .map(([bytes, first]) => (bytes.length === 0 ? bytes : Uint8Array.of(first, ...bytes.subarray(1))));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), almostRtp), (bytes) => {
      const result = parseRtp(bytes, now, { audioLevelId: 1 });
      if (typeof result === "string") expect(RTP_MALFORMED).toContain(result);
      else expect(result.payload.length).toBeLessThanOrEqual(bytes.length - 12);
    }),
    { numRuns: 2000 },
  );
});

test("each of the 36 truncations of a full header is named after the part that is cut", () => {
  const whole = serializeRtp({
    sequence: 1,
    timestamp: 2,
    ssrc: 3,
    payloadType: 0,
    payload: new Uint8Array(0),
    csrcs: [7, 8],
    extensions: [{ id: 1, data: new Uint8Array(10) }],
  });
  expect(whole.length).toBe(36);
  const reasons = Array.from({ length: 36 }, (_, length) => parseRtp(whole.subarray(0, length), now));
  expect(reasons.slice(0, 12)).toEqual(new Array(12).fill("too-short"));
  expect(reasons.slice(12, 20)).toEqual(new Array(8).fill("truncated-csrc"));
  expect(reasons.slice(20, 36)).toEqual(new Array(16).fill("truncated-extension"));
});

test("a version other than 2 is no RTP, and 3 impossible paddings are refused", () => {
  const rest = "00 0001 00000002 00000003";
  expect(parseRtp(hex(`40 ${rest}`), now)).toBe("wrong-version");
  expect(parseRtp(hex(`a0 ${rest}`), now)).toBe("bad-padding");
  expect(parseRtp(hex(`a0 ${rest} 00`), now)).toBe("bad-padding");
  expect(parseRtp(hex(`a0 ${rest} 0003`), now)).toBe("bad-padding");
});

test("a payload of padding only is empty, and the payload shares the datagram's 14 bytes of memory", () => {
  const rest = "00 0001 00000002 00000003";
  const probe = parseRtp(hex(`a0 ${rest} 0002`), now);
  expect(probe).toMatchObject({ payload: new Uint8Array(0) });
  const datagram = hex(`80 ${rest} 0a0b`);
  const packet = parseRtp(datagram, now);
  expect(typeof packet === "string" ? undefined : packet.payload.buffer).toBe(datagram.buffer);
});

test("the audio level is found in both forms of RFC 8285, between other elements and padding", () => {
  const oneByte = hex("90 00 0001 00000002 00000003 bede 0002 31 aabb 00 10 93 0000 ff");
  const twoByte = hex("90 00 0001 00000002 00000003 1000 0002 03 01 aa 00 14 01 0c 00 ff");
  expect(parseRtp(oneByte, now, { audioLevelId: 1 })).toMatchObject({
    audioLevel: { voice: true, level: 19 },
    payload: Uint8Array.of(0xff),
  });
  expect(parseRtp(twoByte, now, { audioLevelId: 20 })).toMatchObject({
    audioLevel: { voice: false, level: 12 },
    payload: Uint8Array.of(0xff),
  });
  expect(parseRtp(oneByte, now, { audioLevelId: 2 })).not.toHaveProperty("audioLevel");
  expect(parseRtp(oneByte, now)).not.toHaveProperty("audioLevel");
});

test("256 audio levels survive the way through a header extension", () => {
  for (let value = 0; value < 256; value++) {
    const level = { voice: value >= 128, level: value & 127 };
    for (const id of [5, 77]) {
      const sent = serializeRtp({
        sequence: 0,
        timestamp: 0,
        ssrc: 0,
        payloadType: 111,
        payload: Uint8Array.of(1),
        extensions: [audioLevelExtension(id, level)],
      });
      expect(parseRtp(sent, now, { audioLevelId: id })).toMatchObject({ audioLevel: level });
    }
  }
});

test("4 damaged extension blocks cost the audio level, not the packet", () => {
  const header = "90 00 0001 00000002 00000003";
  // Identifier 15; identifier 0 with a length; an element beyond the block; a profile of somebody else.
  for (const block of ["bede 0001 f0 10 ff 00", "bede 0001 01 00 10 ff", "bede 0001 2f 10 ff 00"]) {
    expect(parseRtp(hex(`${header} ${block} aa`), now, { audioLevelId: 1 })).toMatchObject({
      payload: Uint8Array.of(0xaa),
    });
    expect(parseRtp(hex(`${header} ${block} aa`), now, { audioLevelId: 1 })).not.toHaveProperty("audioLevel");
  }
  const foreign = parseRtp(hex(`${header} abcd 0001 10 ff 00 00 aa`), now, { audioLevelId: 1 });
  expect(foreign).not.toHaveProperty("audioLevel");
});

test("a sender's 6 impossible fields are refused with the name and value of the field", () => {
  const good: RtpFields = { sequence: 0, timestamp: 0, ssrc: 0, payloadType: 0, payload: new Uint8Array(1) };
  const bad: [Partial<RtpFields>, string][] = [
    [{ payloadType: 128 }, "payloadType must be 0–127, got 128"],
    [{ payloadType: 1.5 }, "payloadType must be 0–127, got 1.5"],
    [{ csrcs: new Array<number>(16).fill(0) }, "csrcs must be 0–15, got 16"],
    [{ paddingBytes: 256 }, "paddingBytes must be 0–255, got 256"],
    [{ extensions: [{ id: 0, data: new Uint8Array(1) }] }, "extension id must be 1–255, got 0"],
    [{ extensions: [{ id: 1, data: new Uint8Array(256) }] }, "extension length must be 0–255, got 256"],
  ];
  for (const [change, message] of bad) {
    expect(() => serializeRtp({ ...good, ...change })).toThrow(
      new TonetapError("invalid-argument", `RTP ${message}`),
    );
  }
});
