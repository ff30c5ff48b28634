/** The final word on a talk-spurt: utterance-meter.ts, voice.ts. */
import { describe, expect, test } from "vitest";
import { kindOf } from "../../../src/events/schema.ts";
import { Conversation } from "./support.ts";

describe("an utterance", () => {
  test("follows speech.ended with means of its 4 windows by their speech, the peak, and 1 of 4 abstained", () => {
    const talk = new Conversation();
    const ada = talk.join("ada");
    ada.starts();
    ada.says({ angry: 0.4, valence: -0.2, speechShare: 0.5 });
    ada.says({ angry: 0.7, valence: -0.6 });
    ada.says({ angry: 0.9, abstained: true });
    ada.says({ angry: 0.1 });
    ada.ends();
    const kinds = talk.events.map(kindOf);
    expect(kinds.indexOf("utterance")).toBe(kinds.indexOf("speech.ended") + 1);
    const [{ data } = { data: undefined }] = talk.of("utterance");
    expect(data).toMatchObject({
      participantId: "ada",
      media: { startMs: 0, endMs: 2000 },
      durationMs: 2000,
      windows: { judged: 4, abstained: 1 },
      abstainedShare: 0.25,
      lossShare: 0.02,
      speechShare: 0.875,
      model: "tiny@1.0.0",
    });
    // (0.5 · 0.4 + 0.7 + 0.9 + 0.1) / 3.5; the surest moment is that of a window that did not abstain.
    expect(data?.expression).toMatchObject({
      top: "angry",
      confidence: 0.5429,
      abstained: false,
      valence: -0.2,
      peak: { label: "angry", probability: 0.7, mediaMs: 1000 },
    });
    const sum = Object.values(data?.expression?.scores ?? {}).reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - 1)).toBeLessThan(0.001);
  });

  test("too short for a window of its own waits for the late one, and no longer than 2 s", () => {
    const talk = new Conversation();
    const ada = talk.join("ada");
    ada.starts();
    ada.isSilent(400);
    ada.ends();
    expect(talk.of("utterance")).toHaveLength(0);
    ada.says({ angry: 0.8 });
    expect(talk.of("utterance").map(({ data }) => data.windows.judged)).toEqual([1]);
    ada.starts();
    ada.isSilent(400);
    ada.ends();
    ada.isSilent(1000);
    expect(talk.of("utterance")).toHaveLength(1);
    ada.isSilent(1500);
    expect(talk.of("utterance")[1]?.data).toMatchObject({ windows: { judged: 0 }, abstainedShare: 0 });
    expect(talk.of("utterance")[1]?.data).not.toHaveProperty("expression");
  });

  test("is told before its participant leaves, once, and not at all when consent went in the middle of it", () => {
    const talk = new Conversation();
    const ada = talk.join("ada");
    ada.starts();
    ada.says({ angry: 0.8 });
    ada.ends();
    ada.leaves();
    expect(
      talk.events.map(kindOf).filter((kind) => kind === "utterance" || kind === "participant.left"),
    ).toEqual(["utterance", "participant.left"]);
    const bob = talk.join("bob");
    bob.starts();
    bob.says({ angry: 0.8 });
    talk.insights.forget(bob.speaker);
    bob.ends();
    talk.publish("participant.paused", { ...bob.speaker, reason: "consent-withdrawn" });
    expect(talk.of("utterance")).toHaveLength(1);
  });
});
