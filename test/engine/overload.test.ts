/** An engine whose thread really is busy: its event loop is kept working, and the clock is moved by hand. Figures alone: ../overload.test.ts. */
import { Subject } from "rxjs";
import { expect, test } from "vitest";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { OPUS, type RtpPacket } from "../../src/core/rtp.ts";
import { createEngine } from "../../src/engine.ts";
import { parseRtp } from "../../src/transport/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { opusStream, PATIENT_MODEL, recordedFrames } from "./support.ts";

class PushedSource implements AudioSource {
  readonly kind = "test";
  readonly codecs = new Map([[111, OPUS]]);
  readonly packets = new Subject<RtpPacket>();

  close(): Promise<void> {
    this.packets.complete();
    return Promise.resolve();
  }
}

test("a full thread lengthens the hop, leaves out who is of low priority, refuses the 3rd; and all is taken back: 6 steps in this order", async () => {
  const clock = new ManualClock();
  const engine = await createEngine(
    {
      // Its deadline is of this clock, which runs ahead of the model's threads.
      model: PATIENT_MODEL,
      overload: { control: "on" },
      events: { statsMs: 1_000 },
    },
    { clock },
  );
  const steps: string[] = [];
  engine.events$.subscribe((event) => {
    if (event.type === "tonetap.service.stats") steps.push(event.data.load.step);
  });
  const voices = { high: new PushedSource(), low: new PushedSource() };
  const info = { callId: "busy", consent: "granted" as const };
  await engine.attach(voices.high, { ...info, participantId: "high", priority: "high" });
  await engine.attach(voices.low, { ...info, participantId: "low", priority: "low" });
  const frames = await recordedFrames("anna");
  const streams = { high: opusStream(), low: opusStream() };
  let next = 0;

  /** One second of media for both, and then nothing for thrice as long as that took, or not a moment's rest. */
  const second = async (rest: "rested" | "restless"): Promise<void> => {
    const startedMs = performance.now();
    for (let i = 0; i < 50; i++) {
      const frame = frames[next++ % frames.length];
      if (frame === undefined) throw new RangeError("the recording is empty");
      for (const name of ["high", "low"] as const) {
        const packet = parseRtp(Buffer.from(streams[name].packet(frame)), clock.now());
        if (typeof packet === "string") throw new RangeError(packet);
        voices[name].packets.next(packet);
      }
      clock.advance(20);
    }
    if (rest === "restless") {
      for (const until = performance.now() + 60; performance.now() < until; );
      await new Promise((resolve) => setImmediate(resolve));
    } else {
      // Long enough that a moment in which the machine does other work is no share of it that counts.
      await sleep(systemClock, Math.max(60, 3 * (performance.now() - startedMs)));
      // The clock runs ahead of the model's thread: what it has not judged in time would count as a full thread.
      await judgedAll();
    }
  };
  /** Waits until the model has judged all that it was given; a batch that waits for mates needs some ms to pass. */
  const judgedAll = (): Promise<void> =>
    expect
      .poll(() => {
        clock.advance(5);
        const { queued, inFlight } = engine.batcherStats;
        return queued + inFlight;
      })
      .toBe(0);
  const windows = (id: string) => engine.participant("busy", id).windows;
  const shed = () => engine.load.shedWindows;

  // The first measurement still sees the model being loaded.
  await second("rested");
  await second("rested");
  expect(engine.load.step).toBe("none");
  for (let i = 0; i < 8; i++) await second("restless");
  expect(engine.load).toMatchObject({ step: "refuse" });
  expect(engine.load.main).toBeGreaterThan(0.85);
  expect(engine.notReady).toMatch(/overloaded/);
  await expect(engine.attach(new PushedSource(), { ...info, participantId: "third" })).rejects.toMatchObject({
    code: "overloaded",
    retryable: true,
  });
  expect(engine.load.refusedParticipants).toBe(1);

  const judged = (id: string): number => windows(id).emitted + windows(id).abstained + windows(id).dropped;
  await judgedAll();
  const before = { high: judged("high"), low: judged("low"), shed: shed() };
  for (let i = 0; i < 6; i++) await second("restless");
  await judgedAll();
  expect(judged("low")).toBe(before.low);
  expect(judged("high")).toBeGreaterThan(before.high);
  expect(shed() - before.shed).toBeGreaterThan(judged("high") - before.high);

  // 31 s are enough; other work on the machine may make some of them count as busy.
  for (let i = 0; i < 150 && engine.load.step !== "none"; i++) await second("rested");
  expect(engine.load.step).toBe("none");
  expect(engine.notReady).toBeUndefined();
  const order = steps.filter((step, i) => step !== steps[i - 1]);
  expect(order).toEqual(["none", "longer-hop", "skip-low", "refuse", "skip-low", "longer-hop", "none"]);
  const after = judged("low");
  for (let i = 0; i < 8; i++) await second("rested");
  await expect.poll(() => judged("low")).toBeGreaterThan(after);
  await engine.close();
});
