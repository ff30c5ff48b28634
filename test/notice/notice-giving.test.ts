/** Asking for a notice, on a manual clock: what counts as proof, what is asked again, who ends it. */
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import {
  type NoticeAnswer,
  NoticeGiving,
  type NoticeHook,
  type NoticeNews,
  type NoticeRequest,
  parseNoticeProof,
} from "../../src/notice/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

const WHOM = { callId: "c", participantId: "ada", role: "customer", transport: "sip" } as const;
const PLAYED: NoticeAnswer = { by: "ivr-2", how: "played", reference: "p/1", language: "de-AT" };

interface Asked {
  readonly request: NoticeRequest;
  readonly signal: AbortSignal;
  readonly answer: (answer: NoticeAnswer | undefined) => void;
  readonly fail: (error: unknown) => void;
}

/** A hook that answers when the test says so. */
function bench(terms: { maxAttempts?: number } = {}) {
  const clock = new ManualClock();
  const asked: Asked[] = [];
  const news: NoticeNews[] = [];
  const hook: NoticeHook = (request, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<NoticeAnswer | undefined>();
    asked.push({ request, signal, answer: resolve, fail: reject });
    return promise;
  };
  const giving = new NoticeGiving(
    WHOM,
    { hook, required: true, timeoutMs: 1_000, maxAttempts: 3, firstRetryMs: 100, ...terms },
    clock,
    (told) => news.push(told),
  );
  return { clock, asked, news, giving, states: () => news.map(({ state }) => state) };
}

/** Lets promises that wait for nothing outside settle. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("asking for a notice", () => {
  test("1 request, its answer is the proof: who, how, reference, language, and when by our clock", async () => {
    const { asked, news, giving } = bench();
    giving.begin();
    giving.begin();
    await settle();
    expect(giving.isOwed).toBe(true);
    expect(asked.map(({ request }) => request)).toEqual([
      { ...WHOM, id: expect.stringMatching(/^[0-9a-f-]{36}$/), attempt: 1 },
    ]);
    asked[0]?.answer(PLAYED);
    await settle();
    expect(news).toEqual([
      { state: "requested", attempt: 1 },
      { state: "given", proof: { ...PLAYED, at: "2026-01-01T00:00:00.000Z" } },
    ]);
    expect([giving.isOwed, giving.state]).toEqual([false, "given"]);
  });

  test("a hook that says nothing for 1,000 ms is asked again after 100 and 200 ms, with the same id; after 3 times it has failed", async () => {
    const { clock, asked, news, giving } = bench();
    giving.begin();
    await settle();
    for (const pauseMs of [100, 200]) {
      clock.advance(1_000);
      await settle();
      clock.advance(pauseMs - 1);
      await settle();
      const before = asked.length;
      clock.advance(1);
      await settle();
      expect(asked.length).toBe(before + 1);
    }
    clock.advance(1_000);
    await settle();
    expect(new Set(asked.map(({ request }) => request.id)).size).toBe(1);
    expect(asked.map(({ request, signal }) => [request.attempt, signal.aborted])).toEqual([
      [1, true],
      [2, true],
      [3, true],
    ]);
    expect(news.at(-1)).toEqual({
      state: "failed",
      attempt: 3,
      reason: "no proof of the notice within 1000 ms",
    });
    // What comes after its time is no proof any more; a person who brings one still can.
    asked[0]?.answer(PLAYED);
    await settle();
    expect(giving.state).toBe("failed");
    giving.confirm(parseNoticeProof({ how: "read" }, "desk", clock.wall()));
    expect(giving.proof).toMatchObject({ by: "desk", how: "read" });
  });

  test("rejections are asked again, those with policy or not-found are not: 2 and 1 attempts", async () => {
    for (const [error, attempts] of [
      [new Error("line busy"), 2],
      [new TonetapError("policy", "nobody is told here"), 1],
    ] as const) {
      const { clock, asked, news, giving } = bench({ maxAttempts: 2 });
      giving.begin();
      for (let n = 0; n < 2; n++) {
        await settle();
        asked[n]?.fail(error);
        await settle();
        clock.advance(200);
      }
      await settle();
      expect([asked.length, news.at(-1)?.state]).toEqual([attempts, "failed"]);
    }
  });

  test("a hook that throws at once, and 5 answers that are no proof, are failures with a reason", async () => {
    const wrong: [unknown, RegExp][] = [
      [{}, /how: Invalid option/],
      [{ how: "sung" }, /how: Invalid option/],
      [{ how: "played", language: "Deutsch!" }, /language: must be a language tag/],
      [{ how: "played", by: "line\nbreak" }, /by: must be 1–128 printable/],
      [{ how: "played", at: "2026-01-01T00:02:00Z" }, /at: .* is yet to come/],
    ];
    for (const [answer, reason] of wrong) {
      const { asked, news, giving } = bench({ maxAttempts: 1 });
      giving.begin();
      await settle();
      asked[0]?.answer(answer as NoticeAnswer);
      await settle();
      expect(news.at(-1)).toMatchObject({ state: "failed", reason: expect.stringMatching(reason) });
    }
    const news: NoticeNews[] = [];
    const hook: NoticeHook = () => {
      throw new RangeError("no player");
    };
    const terms = { hook, required: true, timeoutMs: 1_000, maxAttempts: 1, firstRetryMs: 10 };
    new NoticeGiving(WHOM, terms, new ManualClock(), (told) => news.push(told)).begin();
    await settle();
    expect(news.at(-1)).toMatchObject({ reason: "the notice hook failed: no player" });
  });

  test("undefined means that it will be confirmed: the proof may come within the 1,000 ms, and only 1 of 2 counts", async () => {
    const { clock, asked, giving, states } = bench();
    giving.begin();
    await settle();
    asked[0]?.answer(undefined);
    await settle();
    clock.advance(900);
    const proof = parseNoticeProof(PLAYED, "desk", clock.wall());
    expect(giving.confirm(proof)).toBe(proof);
    // The same again is no news, as when a request is repeated whose answer was lost.
    expect(giving.confirm({ ...proof, at: "2026-01-01T00:00:02.000Z" })).toBe(proof);
    expect(() => giving.confirm({ ...proof, how: "read" })).toThrow(
      "the notice was played already, by ivr-2 at 2026-01-01T00:00:00.900Z: the first proof stands",
    );
    await settle();
    clock.advance(10_000);
    await settle();
    expect(states()).toEqual(["requested", "given"]);
  });

  test("cancelled, the signal aborts, an answer counts no more, and beginning again asks again: 2 requests", async () => {
    const { asked, giving, states } = bench();
    giving.begin();
    await settle();
    giving.cancel();
    giving.cancel();
    asked[0]?.answer(PLAYED);
    await settle();
    expect([asked[0]?.signal.aborted, giving.isOwed]).toEqual([true, true]);
    giving.begin();
    await settle();
    asked[1]?.answer(PLAYED);
    await settle();
    expect(states()).toEqual(["requested", "cancelled", "requested", "given"]);
    giving.cancel();
    expect(giving.state).toBe("given");
  });

  test("nobody is asked without terms: 0 events; a proof is taken all the same", async () => {
    const news: NoticeNews[] = [];
    const giving = new NoticeGiving(WHOM, undefined, new ManualClock(), (told) => news.push(told));
    giving.begin();
    await settle();
    expect([news.length, giving.isOwed]).toEqual([0, false]);
    giving.confirm(parseNoticeProof({ how: "shown" }, "page", 0));
    expect(news).toEqual([
      { state: "given", proof: { by: "page", how: "shown", at: "1970-01-01T00:00:00.000Z" } },
    ]);
  });
});
