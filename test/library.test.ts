/** The public door as a library user meets it: what is exported, and what the types promise. */
import type { Observable } from "rxjs";
import { describe, expect, expectTypeOf, test } from "vitest";
import type {
  AudioSource,
  Engine,
  EventOf,
  FrameUnit,
  MediaUnit,
  PcmUnit,
  RtpPacket,
  TonetapEvent,
  WindowUnit,
} from "../src/index.ts";
import * as tonetap from "../src/index.ts";

describe("the library", () => {
  test("exports all 6 operators of the pipeline, the engine and ways in", () => {
    const operators = [
      "jitterBuffer",
      "decodeAudio",
      "featureFrames",
      "slidingWindows",
      "inferEmotion",
      "smoothEmotion",
    ];
    for (const name of [...operators, "createEngine", "createUdpRtpSource", "emotionChain", "analyzeFiles"]) {
      expect(tonetap, name).toHaveProperty(name, expect.any(Function));
    }
  });

  test("types: the 4 operators before the model fit end to end, packets in, windows out", () => {
    type Stage<F extends (...options: never[]) => unknown> = ReturnType<F>;
    expectTypeOf<Stage<typeof tonetap.jitterBuffer>>().parameter(0).toEqualTypeOf<Observable<RtpPacket>>();
    expectTypeOf<Stage<typeof tonetap.jitterBuffer>>().returns.toEqualTypeOf<Observable<MediaUnit>>();
    expectTypeOf<Stage<typeof tonetap.decodeAudio>>().returns.toEqualTypeOf<Observable<PcmUnit>>();
    expectTypeOf<Stage<typeof tonetap.featureFrames>>().returns.toEqualTypeOf<Observable<FrameUnit>>();
    expectTypeOf<Stage<typeof tonetap.slidingWindows>>().returns.toEqualTypeOf<Observable<WindowUnit>>();
  });

  test("types: a stream filtered to 1 kind is typed with that kind", () => {
    const emotions = (engine: Engine) => engine.stream({ filter: { kinds: ["emotion"] } });
    expectTypeOf<Awaited<ReturnType<ReturnType<typeof emotions>["next"]>>["value"]>().toEqualTypeOf<
      EventOf<"emotion"> | undefined
    >();
    expectTypeOf<Engine["events$"]>().toEqualTypeOf<Observable<TonetapEvent>>();
  });

  test("types: an AudioSource needs 4 members, sender reports and NACK are optional", () => {
    expectTypeOf<"kind" | "codecs" | "packets" | "close">().toEqualTypeOf<
      { [K in keyof AudioSource]-?: undefined extends AudioSource[K] ? never : K }[keyof AudioSource]
    >();
  });
});
