import { NEVER } from "rxjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AudioSource } from "../../src/core/audio-source.ts";
import type { Engine } from "../../src/engine.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { attachUdp, fresh, openEngine, type Recorder, recordedFrames, upTo } from "./support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };

/** A source that never says anything and counts its closing. */
function silentSource(): AudioSource & { closed: number } {
  return {
    kind: "test",
    codecs: new Map(),
    packets: NEVER,
    closed: 0,
    close() {
      this.closed++;
      return Promise.resolve();
    },
  };
}

describe("who may be analysed", { concurrent: true }, () => {
  let engine: Engine;
  let seen: Recorder;

  beforeAll(async () => {
    ({ engine, seen } = await openEngine({ service: { maxParticipants: 4 } }));
  });
  afterAll(() => engine.close());

  test("policy eu refuses 3 roles, naming the article, and attaches nobody", async () => {
    for (const role of ["employee", "agent", "student"] as const) {
      await expect(
        engine.attach(silentSource(), { callId: "law", participantId: role, role, consent: "granted" }),
      ).rejects.toMatchObject({ code: "policy", message: expect.stringContaining("Art. 5(1)(f)") });
    }
    expect(seen.events.some((event) => event.subject.startsWith("calls/law"))).toBe(false);
  });

  test("policy none takes the same 3 roles", async () => {
    const own = await openEngine({ policy: "none" });
    for (const role of ["employee", "agent", "student"] as const) {
      await own.engine.attach(silentSource(), { callId: "own", participantId: role, role });
    }
    expect(own.seen.of("participant.joined").length).toBe(3);
    await own.engine.close();
    expect(own.seen.of("participant.left").map(({ data }) => data.reason)).toEqual([
      "shutdown",
      "shutdown",
      "shutdown",
    ]);
  });

  test("without consent 3 s of speech give 0 emotions; granting starts, withdrawing stops them", async () => {
    const asked = fresh("asked");
    const source = await attachUdp(engine, asked, { consent: "pending" });
    const participant = engine.participant("test", asked);
    const frames = await recordedFrames("anna");
    const sending = sendImpaired(upTo(frames, 16_000), source.address.port, CLEAN);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(seen.of("emotion", asked).length).toBe(0);
    expect(seen.of("participant.joined", asked)[0]?.data.paused).toBe(true);

    await participant.setConsent("granted");
    await seen.first("emotion", ({ data }) => data.participantId === asked);
    await participant.setConsent("withdrawn");
    const countAtWithdrawal = seen.of("emotion", asked).length;
    const [first] = seen.of("emotion", asked);
    await participant.setConsent("granted");
    await sending;
    await participant.close();

    // Media time counts what was said before anyone listened; window numbers go on after the second grant.
    expect(first?.data.media.endMs).toBeGreaterThan(3_000);
    const resumed = seen.of("emotion", asked).slice(countAtWithdrawal);
    expect(resumed.length).toBeGreaterThan(0);
    const indexes = seen.of("emotion", asked).map(({ data }) => data.index);
    expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
    expect(resumed[0]?.data.media.startMs).toBeGreaterThanOrEqual(first?.data.media.endMs ?? 0);
    expect(seen.of("participant.paused", asked).map(({ data }) => data.reason)).toEqual([
      "consent-withdrawn",
    ]);
    expect(seen.of("participant.resumed", asked).length).toBe(2);
    // In this order, with nothing of the voice in between or after: granted, resumed, …, withdrawn, paused, discarded.
    const told = seen.events.filter(
      (event) => "participantId" in event.data && event.data.participantId === asked,
    );
    const withdrawn = told.findIndex(
      (event) => event.type === "tonetap.participant.consent" && event.data.consent === "withdrawn",
    );
    const after = told.slice(withdrawn).map(({ type }) => type);
    expect(after.indexOf("tonetap.participant.discarded")).toBeLessThanOrEqual(4);
    const silent = after.slice(0, after.lastIndexOf("tonetap.participant.consent"));
    expect(silent).not.toContain("tonetap.emotion");
    expect(seen.of("participant.discarded", asked).map(({ data }) => data.reason)).toEqual([
      "consent-withdrawn",
    ]);
    expect(
      seen.of("participant.consent", asked).map(({ data }) => [data.previous, data.consent, data.by]),
    ).toEqual([
      ["pending", "granted", "program"],
      ["granted", "withdrawn", "program"],
      ["withdrawn", "granted", "program"],
    ]);
  });

  test("the same participant twice is refused once, a bad id and a 5th participant clearly", async () => {
    const own = await openEngine({ service: { maxParticipants: 2 } });
    const attach = (participantId: string) =>
      own.engine.attach(silentSource(), { callId: "c", participantId });

    await attach("a");
    await expect(attach("a")).rejects.toMatchObject({ code: "conflict" });
    await expect(attach("")).rejects.toThrow("participantId must be 1–128 printable characters");
    await expect(attach("line\nbreak")).rejects.toMatchObject({ code: "invalid-argument" });
    await attach("b");
    await expect(attach("c")).rejects.toThrow("service.maxParticipants is 2");

    await own.engine.close();
    await expect(attach("d")).rejects.toMatchObject({ code: "closed" });
    await own.engine.close();
  });
});

test("a source that fails ends its participant with the error, and 1 call goes on without it", async () => {
  const { engine, seen } = await openEngine();
  const { Subject } = await import("rxjs");
  const packets = new Subject<never>();
  const failing = { ...silentSource(), packets };
  await engine.attach(failing, { callId: "mixed", participantId: "failing", consent: "granted" });
  await engine.attach(silentSource(), { callId: "mixed", participantId: "healthy" });

  packets.error(new RangeError("the line broke"));
  const left = await seen.first("participant.left");

  expect(left.data).toMatchObject({
    participantId: "failing",
    reason: "failed",
    error: { code: "internal", message: "test source failed: the line broke" },
  });
  expect(seen.of("call.ended").length).toBe(0);
  await engine.participant("mixed", "healthy").close();
  expect((await seen.first("call.ended")).data).toMatchObject({ reason: "empty", participants: 2 });
  await engine.close();
});
