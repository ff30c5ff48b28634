/** Dividing a CPU profile among stages. */
import { describe, expect, test } from "vitest";
import {
  type CpuProfile,
  GARBAGE,
  hotSpots,
  NATIVE,
  type ProfileNode,
  stageTimes,
  TONETAP_STAGES,
} from "../../bench/live/profile.ts";

const ROOT = "file:///somewhere/tonetap";

const node = (id: number, functionName: string, url: string, children: number[] = []): ProfileNode => ({
  id,
  callFrame: { functionName, url, lineNumber: 9 },
  children,
});

/** (root) → socket → jitter buffer → decoder → libopus's wasm; and the kernel's wasm under the features. */
const NODES: readonly ProfileNode[] = [
  node(1, "(root)", "", [2, 20, 21, 22]),
  node(2, "onMessage", "node:dgram", [3]),
  node(3, "push", `${ROOT}/src/transport/jitter-buffer.ts`, [4]),
  node(4, "take", `${ROOT}/src/stream/stage.ts`, [5, 8]),
  node(5, "decodeFloat", `${ROOT}/node_modules/libopus-wasm/dist/index.js`, [6]),
  node(6, "wasm-function[8]", "wasm://wasm/0012ab"),
  node(8, "push", `${ROOT}/src/stream/features/kernel-extractor.ts`, [9, 10]),
  node(9, "wasm-function[8]", "wasm://wasm/0099ff"),
  node(10, "set", ""),
  node(20, "(garbage collector)", ""),
  node(21, "(idle)", ""),
  node(22, "(program)", ""),
];

/** Each sample lasts 1,000 µs. */
const profileOf = (samples: readonly number[]): CpuProfile => ({
  nodes: NODES,
  samples: [...samples, 21],
  timeDeltas: [0, ...samples.map(() => 1_000)],
});

const times = (profile: CpuProfile): Record<string, number> =>
  Object.fromEntries(stageTimes(profile, TONETAP_STAGES).map(({ stage, ms }) => [stage, ms]));

describe("stages of a profile", () => {
  test("two WebAssembly functions of one name go to the 2 stages that call them", () => {
    expect(times(profileOf([6, 6, 6, 9]))).toEqual({ "Opus decode": 3, features: 1 });
  });

  test("a built-in goes to its caller, and 5 kinds of time have a row of their own", () => {
    expect(times(profileOf([10, 20, 22, 3, 4]))).toEqual({
      features: 1,
      [GARBAGE]: 1,
      [NATIVE]: 1,
      "jitter buffer": 1,
      "RxJS and chain": 1,
    });
  });

  test("idle time is nobody's: of 4 samples 1 is work", () => {
    expect(times(profileOf([21, 21, 21, 2]))).toEqual({ "receive and RTP parse": 1 });
  });

  test("a sample weighs as long as it lasted: 3,000 µs against 1,000", () => {
    const profile = { nodes: NODES, samples: [3, 5, 21], timeDeltas: [50, 3_000, 1_000] };
    expect(times(profile)).toEqual({ "jitter buffer": 3, "Opus decode": 1 });
  });

  test("every file of src that the chain runs has its stage", () => {
    const stageOf = (path: string): string | undefined =>
      TONETAP_STAGES.find(([, script]) => script.test(`${ROOT}/${path}`))?.[0];
    expect(
      [
        "src/transport/udp-rtp-port.ts",
        "src/transport/media-timeline.ts",
        "src/stream/opus-decoder.ts",
        "src/stream/features/kernel.ts",
        "src/stream/voice-activity.ts",
        "src/stream/sliding-windows.ts",
        "src/inference/batcher.ts",
        "src/events/hub.ts",
        "node_modules/rxjs/dist/esm5/internal/Subject.js",
      ].map(stageOf),
    ).toEqual([
      "receive and RTP parse",
      "jitter buffer",
      "Opus decode",
      "features",
      "voice activity",
      "windows",
      "batching and smoothing",
      "events",
      "RxJS and chain",
    ]);
  });

  test("hot spots are ordered by own time and carry no machine's path; 2 are asked for, 2 come", () => {
    const spots = hotSpots(profileOf([5, 5, 5, 8, 8, 3]), 2);
    expect(spots).toEqual([
      { name: "decodeFloat", where: "libopus-wasm/dist/index.js:10", share: 0.5 },
      { name: "push", where: "src/stream/features/kernel-extractor.ts:10", share: expect.closeTo(1 / 3, 9) },
    ]);
  });

  test("a profile without samples has 0 stages", () => {
    expect(stageTimes({ nodes: NODES }, TONETAP_STAGES)).toEqual([]);
  });
});
