import { describe, expect, it } from "vitest";
import { opusDurationTicks } from "../../src/transport/opus-duration.ts";

describe("opusDurationTicks", () => {
  it.each([
    ["SILK narrowband, one 10 ms frame", [0x00], 480],
    ["SILK wideband, one 60 ms frame", [0x58], 2880],
    ["hybrid fullband, two 20 ms frames", [0x79], 1920],
    ["CELT fullband, two 2.5 ms frames of unequal size", [0xe2], 240],
    ["CELT fullband, 48 frames of 2.5 ms", [0xe3, 48], 5760],
  ])("reads %s", (_, bytes, ticks) => {
    expect(opusDurationTicks(Uint8Array.from(bytes))).toBe(ticks);
  });

  it.each([
    ["0 bytes", []],
    ["0 frames", [0x03, 0]],
    ["more than 120 ms", [0x5b, 3]],
  ])("refuses %s", (_, bytes) => {
    expect(opusDurationTicks(Uint8Array.from(bytes))).toBeUndefined();
  });
});
