/** From the arrival of a packet back to when it was due. */
import { describe, expect, test } from "vitest";
import { PacketTimes } from "../../bench/live/packet-times.ts";
import { SHARED_OFFSET_MS } from "../../bench/live/protocol.ts";

describe("packet times", () => {
  test("a packet that came 30 ms late is found by its arrival to half a packet, and was due on the grid", () => {
    const times = new PacketTimes();
    times.begin({ participant: 0, sequence: 65_530, dueMs: SHARED_OFFSET_MS + 1_000 });
    // Number 10 after the first has wrapped past 65,535.
    for (let i = 0; i <= 10; i++) times.came((65_530 + i) & 0xffff, 1_000 + 20 * i + (i === 10 ? 30 : 1));
    expect(times.dueMs(1_230)).toBeCloseTo(1_200, 6);
    expect(times.dueMs(1_236)).toBeCloseTo(1_200, 6);
    expect(times.dueMs(1_500)).toBeUndefined();
  });

  test("numbers that wrapped 3 times are told apart by time", () => {
    const times = new PacketTimes();
    times.begin({ participant: 0, sequence: 5, dueMs: SHARED_OFFSET_MS });
    const packets = 3 * 65_536 + 7;
    times.came((5 + packets) & 0xffff, 20 * packets + 2);
    expect(times.dueMs(20 * packets + 2)).toBeCloseTo(20 * packets, 6);
  });

  test("nothing is known of a participant whose start was not told", () => {
    const times = new PacketTimes();
    times.came(1, 100);
    expect(times.dueMs(100)).toBeUndefined();
  });
});
