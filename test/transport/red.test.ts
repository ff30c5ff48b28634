/** RFC 2198: blocks are found where they are, and a damaged payload is said to be. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { splitRed } from "../../src/transport/red.ts";
import { redPayload } from "./packets.ts";

test("a payload with 2 copies is split into views of it", () => {
  // RFC 2198 §4, in small: offsets 1920 and 960, lengths 2 and 1.
  const bytes = Uint8Array.of(0x80 | 111, 0x1e, 0x00, 2, 0x80 | 110, 0x0f, 0x00, 1, 111, 10, 11, 20, 30, 31);
  const red = splitRed(bytes);
  expect(red).toEqual({
    primary: { payloadType: 111, payload: Uint8Array.of(30, 31) },
    copies: [
      { payloadType: 111, offsetTicks: 1920, payload: Uint8Array.of(10, 11) },
      { payloadType: 110, offsetTicks: 960, payload: Uint8Array.of(20) },
    ],
  });
});

test("a payload without copies is 1 header byte and the primary", () => {
  expect(splitRed(Uint8Array.of(111, 1, 2))).toEqual({
    primary: { payloadType: 111, payload: Uint8Array.of(1, 2) },
    copies: [],
  });
});

test("500 random splits come back as they were joined", () => {
  const copy = fc.record({
    payloadType: fc.integer({ min: 0, max: 127 }),
    offsetTicks: fc.integer({ min: 0, max: 16_383 }),
    payload: fc.uint8Array({ maxLength: 1023, size: "small" }),
  });
  const primary = fc.record({ payloadType: fc.integer({ min: 0, max: 127 }), payload: fc.uint8Array() });
  fc.assert(
    fc.property(primary, fc.array(copy, { maxLength: 5 }), (main, copies) => {
      expect(splitRed(redPayload(main, copies))).toEqual({ primary: main, copies });
    }),
    { numRuns: 500 },
  );
});

test("all 13 cuts before the primary of a payload with 2 copies are malformed", () => {
  const whole = redPayload({ payloadType: 111, payload: Uint8Array.of(5) }, [
    { payloadType: 111, offsetTicks: 1920, payload: Uint8Array.of(1, 2) },
    { payloadType: 111, offsetTicks: 960, payload: Uint8Array.of(3, 4) },
  ]);
  for (let length = 0; length < 13; length++) expect(splitRed(whole.subarray(0, length))).toBe("malformed");
  expect(splitRed(whole)).not.toBe("malformed");
});

test("2,000 random payloads never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const red = splitRed(bytes);
      if (red !== "malformed") expect(red.primary.payload.length).toBeLessThan(bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test("a payload of 32 copies is split, one of 33 is malformed, and so is one of 16,000", () => {
  const split = (copies: number) => {
    const bytes = new Uint8Array(4 * copies + 2);
    for (let i = 0; i < copies; i++) bytes[4 * i] = 0x80 | 111;
    bytes[4 * copies] = 111;
    return splitRed(bytes);
  };
  expect(split(32)).toMatchObject({ primary: { payloadType: 111 } });
  expect([split(33), split(16_000)]).toEqual(["malformed", "malformed"]);
});
