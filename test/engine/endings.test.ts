/** How participants and calls end, and that nothing stays open: calls.ts, participant.ts. */
import { Subject } from "rxjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { TonetapError } from "../../src/core/errors.ts";
import type { RtpPacket } from "../../src/core/rtp.ts";
import type { Engine } from "../../src/engine.ts";
import { kindOf } from "../../src/events/index.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { attachUdp, fresh, openEngine, type Recorder, recordedFrames, upTo } from "./support.ts";

/** A source that says nothing until it is closed. */
function silentSource(closing = Promise.resolve()): AudioSource & { readonly packets: Subject<RtpPacket> } {
  const packets = new Subject<RtpPacket>();
  return {
    kind: "test",
    codecs: new Map(),
    packets,
    close() {
      return closing.then(() => packets.complete());
    },
  };
}

describe.each([0, 2])("an ending, on %i shards,", { concurrent: true }, (count) => {
  let engine: Engine;
  let seen: Recorder;

  beforeAll(async () => {
    ({ engine, seen } = await openEngine({ shards: { count } }));
  });
  afterAll(() => engine.close());

  const kindsOf = (callId: string): string[] =>
    seen.events
      .filter(({ data }) => "callId" in data && data.callId === callId)
      .map((event) =>
        "reason" in event.data ? `${kindOf(event)} ${event.data.reason}` : kindOf(event as never),
      )
      .filter((kind) => kind !== "quality");

  test("of a participant is removed when its owner detaches it, left when its source ends: 2 reasons", async () => {
    const call = fresh("two");
    const peer = silentSource();
    await engine.attach(peer, { callId: call, participantId: "left" });
    const removed = await engine.attach(silentSource(), { callId: call, participantId: "removed" });
    await removed.close();
    await peer.close();
    await seen.first("call.ended", ({ data }) => data.callId === call);
    expect(kindsOf(call).slice(3)).toEqual([
      "participant.left removed",
      "participant.left left",
      "call.ended empty",
    ]);
  });

  test("of a call by its owner detaches 2 participants and takes no third meanwhile", async () => {
    const call = fresh("owned");
    const { promise: closing, resolve: letGo } = Promise.withResolvers<void>();
    for (const participantId of ["a", "b"]) {
      await engine.attach(silentSource(closing), { callId: call, participantId });
    }
    const ending = engine.endCall(call);
    await expect(engine.attach(silentSource(), { callId: call, participantId: "c" })).rejects.toMatchObject({
      code: "conflict",
    });
    letGo();
    await ending;
    expect(kindsOf(call).slice(3)).toEqual([
      "participant.left removed",
      "participant.left removed",
      "call.ended closed",
    ]);
    await expect(engine.endCall(call)).rejects.toMatchObject({ code: "not-found" });
  });

  test("of a call that its platform gave up on: call.failed first, 2 leave as failed, call.ended last", async () => {
    const call = fresh("broken");
    for (const participantId of ["a", "b"]) {
      await engine.attach(silentSource(), { callId: call, participantId });
    }
    await engine.failCall(call, new TonetapError("unavailable", "the router was closed"));
    expect(kindsOf(call).slice(3)).toEqual([
      "call.failed",
      "participant.left failed",
      "participant.left failed",
      "call.ended failed",
    ]);
    const failed = await seen.first("call.failed", ({ data }) => data.callId === call);
    expect(failed.data.error).toEqual({
      code: "unavailable",
      message: "the router was closed",
      retryable: true,
    });
  });

  test("of a call whose last stream breaks is a failure of the call, that of 1 of 2 streams is not", async () => {
    const call = fresh("lines");
    const first = silentSource();
    const last = silentSource();
    await engine.attach(first, { callId: call, participantId: "first" });
    await engine.attach(last, { callId: call, participantId: "last" });
    first.packets.error(new RangeError("line 1 broke"));
    await seen.first(
      "participant.left",
      ({ data }) => data.callId === call && data.participantId === "first",
    );
    expect(kindsOf(call)).not.toContain("call.failed");
    last.packets.error(new RangeError("line 2 broke"));
    await seen.first("call.ended", ({ data }) => data.callId === call);
    expect(kindsOf(call).slice(-4)).toEqual([
      "participant.left failed",
      "participant.left failed",
      "call.failed",
      "call.ended failed",
    ]);
  });

  test("of listening in mid-speech ends the talk-spurt first, and withdrawn consent keeps its utterance back", async () => {
    const frames = await recordedFrames("anna");
    // Of her first words, again and again: however late the first emotion comes, she is still speaking.
    const words = upTo(frames, 2_300).slice(upTo(frames, 700).length);
    const talk = Array.from({ length: 10 }, () => words).flat();
    const operator = fresh("operator");
    const withdrawn = fresh("withdrawn");
    const ids = [operator, withdrawn];
    for (const id of ids) {
      const source = await attachUdp(engine, id, { callId: id });
      void sendImpaired(talk, source.address.port, { loss: 0, duplicate: 0, reorder: 0 });
    }
    await Promise.all(ids.map((id) => seen.first("emotion", ({ data }) => data.callId === id)));
    await engine.participant(operator, operator).pause();
    await engine.participant(withdrawn, withdrawn).setConsent("withdrawn");
    for (const id of ids) {
      const [started] = seen.of("speech.started", id);
      const [ended] = seen.of("speech.ended", id);
      expect(ended?.data.mediaMs).toBeGreaterThan(started?.data.mediaMs ?? Number.POSITIVE_INFINITY);
      expect(ended?.data.durationMs).toBeCloseTo(
        (ended?.data.mediaMs ?? 0) - (started?.data.mediaMs ?? 0),
        0,
      );
      expect(seen.of("utterance", id)).toHaveLength(id === operator ? 1 : 0);
    }
    const around = kindsOf(operator);
    const paused = around.indexOf("participant.paused operator");
    expect(around.slice(paused - 2, paused)).toEqual(["speech.ended", "utterance"]);
    await Promise.all(ids.map((id) => engine.participant(id, id).close()));
  });
});
