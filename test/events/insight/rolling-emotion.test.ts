/** Rolling states and trends: rolling-emotion.ts, and their rate: voice.ts, insights.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RollingEmotion } from "../../../src/events/insight/rolling-emotion.ts";
import { ADA, emotionOf } from "../support.ts";
import { Conversation } from "./support.ts";

const saying = (angry: number, abstained = false) => ({
  ...emotionOf(ADA, 0),
  scores: { angry, calm: (1 - angry) / 2, sad: (1 - angry) / 2 },
  abstained,
});

describe("a rolling state", () => {
  test("goes 63 % of the way to a new level in one time constant of 8 s of speech", () => {
    const rolling = new RollingEmotion(8000);
    rolling.add(saying(0), 500, 0);
    for (let atMs = 500; atMs <= 8000; atMs += 500) rolling.add(saying(1), 500, atMs);
    expect(rolling.state(8000)?.scores.angry).toBeCloseTo(1 - Math.exp(-1), 6);
  });

  test("says what rises and falls, for how long, and that it is steady again: 20 s of anger", () => {
    const rolling = new RollingEmotion(8000);
    let atMs = 0;
    const say = (angry: number, ms: number): void => {
      for (const end = atMs + ms; atMs < end; ) {
        atMs += 500;
        rolling.add(saying(angry), 500, atMs);
      }
    };
    say(0.1, 10_000);
    expect(rolling.state(atMs)?.trends).toEqual([]);
    say(0.8, 20_000);
    const [strongest, other] = rolling.state(atMs)?.trends ?? [];
    expect(strongest).toMatchObject({ of: "angry", direction: "rising" });
    expect(other).toMatchObject({ of: expect.stringMatching(/calm|sad/), direction: "falling" });
    expect(strongest?.forMs).toBeGreaterThan(17_000);
    expect(strongest?.forMs).toBeLessThanOrEqual(20_000);
    say(0.8, 120_000);
    expect(rolling.state(atMs)?.trends).toEqual([]);
  });

  test("of windows that abstained changes its abstained share alone: 0.6 in 8 s, and is empty without others", () => {
    const rolling = new RollingEmotion(8000);
    rolling.add(saying(1, true), 500, 0);
    expect(rolling.state(0)).toBeUndefined();
    rolling.add(saying(0.3), 500, 0);
    for (let i = 0; i < 16; i++) rolling.add(saying(1, true), 500, i * 500);
    const state = rolling.state(8000);
    expect(state?.scores.angry).toBe(0.3);
    expect(state?.abstainedShare).toBeGreaterThan(0.6);
  });

  test("stays a probability distribution whatever comes: 300 random talks", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: 0, max: 1, noNaN: true }),
            fc.integer({ min: 0, max: 2000 }),
            fc.boolean(),
          ),
          {
            minLength: 1,
            maxLength: 50,
          },
        ),
        (talk) => {
          const rolling = new RollingEmotion(8000);
          let atMs = 0;
          for (const [angry, stepMs, abstained] of talk) {
            atMs += stepMs;
            rolling.add(saying(angry, abstained), stepMs, atMs);
          }
          const state = rolling.state(atMs);
          if (state === undefined) return;
          const scores = Object.values(state.scores);
          expect(Math.abs(scores.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-9);
          expect(Math.max(...scores)).toBe(state.confidence);
          for (const { forMs } of state.trends) expect(forMs).toBeLessThanOrEqual(atMs);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("state events", () => {
  test("come at most every 2 s for a voice and for its call: 20 windows in 10 s give 5 of each", () => {
    const talk = new Conversation();
    const ada = talk.join("ada");
    ada.says({ angry: 0.5 }, 10_000);
    expect(talk.of("participant.state")).toHaveLength(5);
    expect(talk.of("call.state")).toHaveLength(5);
    expect(talk.of("call.state")[0]?.data).toMatchObject({ callId: "c1", voices: 1, top: "angry" });
    expect(talk.hub.calls()[0]?.participants[0]?.state).toEqual(talk.of("participant.state")[4]?.data);
  });

  test("tell the last word of a voice that fell silent, once, within 2 s", () => {
    const talk = new Conversation();
    const ada = talk.join("ada");
    ada.says({ angry: 0.5 }, 1000);
    expect(talk.of("participant.state")).toHaveLength(1);
    ada.isSilent(10_000);
    expect(talk.of("participant.state")).toHaveLength(2);
  });

  test("of a model swapped in mid-call begin anew with its 4 labels, and of a voice that paused with nothing", () => {
    const talk = new Conversation([], 200);
    const ada = talk.join("ada");
    ada.says({ angry: 0.9 }, 5000);
    ada.says({ angry: 0.1, model: "other@2.0.0" });
    expect(talk.of("participant.state").at(-1)?.data.scores.angry).toBe(0.1);
    talk.insights.forget(ada.speaker);
    talk.publish("participant.paused", { ...ada.speaker, reason: "consent-withdrawn" });
    const before = talk.of("call.state").length;
    ada.isSilent(5000);
    expect(talk.of("call.state")).toHaveLength(before);
    expect(talk.hub.calls()[0]).not.toHaveProperty("state");
    expect(talk.hub.calls()[0]?.participants[0]).not.toHaveProperty("state");
  });
});
