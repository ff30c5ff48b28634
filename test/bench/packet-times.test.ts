/** From the arrival of a packet back to when it was due. */
import { describe, expect, test } from "vitest";
import { PacketTimes } from "../../bench/live/packet-times.ts";
import { SHARED_OFFSET_MS } from "../../bench/live/protocol.ts";

describe("packet times", () => {
  test("a packet that came 30 ms late is found by its arrival to half a packet, and was due on the grid", () => {
    const times = new PacketTimes();
    const timestamp = 2 ** 32 - 4_800;
    times.begin({ participant: 0, timestamp, dueMs: SHARED_OFFSET_MS + 1_000 });
    // Packet 10 after the first has wrapped past 32 bits.
    for (let i = 0; i <= 10; i++)
      times.came((timestamp + 960 * i) >>> 0, 1_000 + 20 * i + (i === 10 ? 30 : 1));
    expect(times.dueMs(1_230)).toBeCloseTo(1_200, 6);
    expect(times.dueMs(1_236)).toBeCloseTo(1_200, 6);
    expect(times.dueMs(1_500)).toBeUndefined();
  });

  test("a packet after a pause of 3 s in which none was sent was due when its media time says", () => {
    const times = new PacketTimes();
    times.begin({ participant: 0, timestamp: 5, dueMs: SHARED_OFFSET_MS });
    times.came(5, 1);
    times.came(5 + 48 * 3_020, 3_024);
    expect(times.dueMs(3_024)).toBeCloseTo(3_020, 6);
  });

  test("nothing is known of a participant whose start was not told", () => {
    const times = new PacketTimes();
    times.came(1, 100);
    expect(times.dueMs(100)).toBeUndefined();
  });
});
