/** Rows, ratios and the page's markers. */
import { describe, expect, test } from "vitest";
import type { LiveRamp, LiveStep } from "../../bench/live/live-bench.ts";
import {
  markdownTable,
  participantsPerCore,
  ratioText,
  replaceBetween,
  stageRows,
} from "../../bench/live/live-report.ts";

const ramp = (peer: LiveRamp["peer"], participants: number): LiveRamp => ({
  peer,
  description: { rtp: { host: "127.0.0.1", port: 1 }, events: "", backend: "" },
  capacity: { participants, limitedBy: "cpu", disturbed: false },
  steps: [],
  profiled: undefined,
});

const LATENCY = { p50Ms: 8, p99Ms: 20, maxMs: 30 };

/** 100 participants for 10 s: 0.4 cores in the main thread, 0.1 in the model's. */
const PROFILED: LiveStep = {
  participants: 100,
  deliveredEvents: 2_000,
  subject: {
    elapsedMs: 10_000,
    cpuCores: 0.6,
    threadCores: { MainThread: 0.4, "tonetap-inferen": 0.1, "v8:ProfEvntProc": 0.1 },
    windows: 2_000,
    droppedWindows: 0,
    meanBatch: 2,
    fromArrival: LATENCY,
    fromSending: LATENCY,
    receivedPackets: 50_000,
    lostPackets: 0,
    socketDrops: 0,
    rssBytes: 2e8,
    stages: [
      { stage: "Opus decode", ms: 3_000 },
      { stage: "features", ms: 500 },
    ],
    hotSpots: [],
  },
  generator: { sentPackets: 50_000, elapsedMs: 10_000, cpuCores: 0.1, lateness: LATENCY },
};

describe("the live report", () => {
  test("divides 5 s of CPU over 4 rows: what the profile did not see is native, the profiler's thread is left out", () => {
    const rows = stageRows(PROFILED).map(({ stage, share }) => [stage, share]);
    expect(rows).toEqual([
      ["Opus decode", expect.closeTo(0.6, 9)],
      ["inference (its own thread)", expect.closeTo(0.2, 9)],
      ["features", expect.closeTo(0.1, 9)],
      ["socket reads and event loop (native)", expect.closeTo(0.1, 9)],
    ]);
    // 3 s over 50,000 packets.
    expect(stageRows(PROFILED)[0]?.microsPerPacket).toBeCloseTo(60, 6);
  });

  test("a profile of 8 s of a thread that used 4 s was preempted: its stages are halved", () => {
    const stages = [
      { stage: "Opus decode", ms: 6_000 },
      { stage: "features", ms: 2_000 },
    ];
    const rows = stageRows({ ...PROFILED, subject: { ...PROFILED.subject, stages } });
    expect(rows.map(({ stage, share }) => [stage, share])).toEqual([
      ["Opus decode", expect.closeTo(0.6, 9)],
      ["features", expect.closeTo(0.2, 9)],
      ["inference (its own thread)", expect.closeTo(0.2, 9)],
    ]);
  });

  test("compares medians: 240 of 200, 240, 260 against 50 is 4.8 times", () => {
    const ramps = [
      ramp("tonetap", 200),
      ramp("naive", 50),
      ramp("tonetap", 260),
      ramp("naive", 90),
      ramp("tonetap", 240),
      ramp("naive", 44),
    ];
    expect(participantsPerCore(ramps, "tonetap")).toBe(240);
    expect(ratioText(ramps)).toContain("Tonetap 240, literal wiring 50: 4.8 times");
    expect(ratioText(ramps.filter(({ peer }) => peer === "tonetap"))).toBeUndefined();
  });

  test("replaces what stands between 2 markers and nothing else", () => {
    expect(replaceBetween("a <b> old </b> c", "<b>", "</b>", "new")).toBe("a <b>\nnew\n</b> c");
    expect(replaceBetween("a b c", "<b>", "</b>", "new")).toBeUndefined();
  });

  test("a table of 2 columns aligns numbers to the right", () => {
    expect(
      markdownTable([
        ["stage", "share"],
        ["features", "3 %"],
      ]),
    ).toBe("| stage | share |\n| --- | ---: |\n| features | 3 % |");
  });
});
