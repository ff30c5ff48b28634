/** Alerts by rule: alert-rule.ts, alert-watch.ts, alert-rules.ts, voice.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAbout, parseAlertRule } from "../../../src/events/insight/alert-rule.ts";
import { AlertRules } from "../../../src/events/insight/alert-rules.ts";
import { kindOf } from "../../../src/events/schema.ts";
import { LABELS } from "../support.ts";
import { Conversation, type Talker } from "./support.ts";

const UPSET = {
  id: "upset",
  name: "Upset",
  labels: ["angry"],
  above: 0.6,
  minDurationMs: 3000,
  clearAfterMs: 2000,
  coolDownMs: 10_000,
};

function talk(rule: object = UPSET): { conversation: Conversation; ada: Talker } {
  const conversation = new Conversation([rule]);
  return { conversation, ada: conversation.join("ada") };
}

const alerts = (conversation: Conversation): string[] =>
  conversation.events.map(kindOf).filter((kind) => kind.startsWith("alert."));

describe("an alert", () => {
  test("is raised after 3 s of anger in speech and cleared 2 s after it is over, with its peak", () => {
    const { conversation, ada } = talk();
    ada.says({ angry: 0.7 }, 500);
    ada.isSilent(20_000);
    expect(alerts(conversation)).toEqual([]);
    ada.says({ angry: 0.9 }, 500);
    ada.says({ angry: 0.7 }, 500);
    expect(alerts(conversation)).toEqual(["alert.raised"]);
    expect(conversation.of("alert.raised")[0]?.data).toMatchObject({
      participantId: "ada",
      ruleId: "upset",
      ruleName: "Upset",
      measure: "angry",
      threshold: 0.6,
      value: 0.7,
    });
    expect(conversation.hub.calls()[0]?.participants[0]?.alerts).toHaveLength(1);
    ada.says({ angry: 0.95 }, 500);
    ada.says({ angry: 0.1 }, 1500);
    expect(alerts(conversation)).toEqual(["alert.raised"]);
    ada.says({ angry: 0.1 }, 500);
    expect(conversation.of("alert.cleared")[0]?.data).toMatchObject({
      alertId: conversation.of("alert.raised")[0]?.data.alertId,
      reason: "calm",
      durationMs: 2500,
      peak: 0.95,
    });
    expect(conversation.hub.calls()[0]?.participants[0]?.alerts).toEqual([]);
  });

  test("is not raised by 2.5 s, nor when a calm window comes between, nor twice within 10 s of cool-down", () => {
    const { conversation, ada } = talk();
    // The first window adds the 3 s that it looks back on, those after it half a second each.
    ada.says({ angry: 0.1 }, 3500);
    for (let i = 0; i < 3; i++) {
      ada.says({ angry: 0.7 }, 2500);
      ada.says({ angry: 0.1 }, 500);
    }
    expect(alerts(conversation)).toEqual([]);
    ada.says({ angry: 0.7 }, 3000);
    ada.says({ angry: 0.1 }, 2500);
    ada.says({ angry: 0.7 }, 7000);
    expect(alerts(conversation)).toEqual(["alert.raised", "alert.cleared"]);
    ada.says({ angry: 0.7 }, 3000);
    expect(alerts(conversation)).toEqual(["alert.raised", "alert.cleared", "alert.raised"]);
  });

  test("neither counts nor resets for windows that abstain, nor for those 0.05 under the threshold", () => {
    const { conversation, ada } = talk();
    ada.says({ angry: 0.1 }, 3500);
    ada.says({ angry: 0.7 }, 2500);
    ada.says({ angry: 0, abstained: true }, 1000);
    ada.says({ angry: 0.57 }, 1000);
    expect(alerts(conversation)).toEqual([]);
    ada.says({ angry: 0.7 }, 500);
    expect(alerts(conversation)).toEqual(["alert.raised"]);
  });

  test("of a silent voice is cleared by time alone, after 2 s", () => {
    const { conversation, ada } = talk();
    ada.says({ angry: 0.7 }, 4000);
    ada.isSilent(1500);
    expect(alerts(conversation)).toEqual(["alert.raised"]);
    ada.isSilent(1000);
    expect(alerts(conversation)).toEqual(["alert.raised", "alert.cleared"]);
  });

  test("looks at valence below −0.5 and at the sum of 2 labels as well", () => {
    const low = talk({ id: "low", axis: "valence", below: -0.5, minDurationMs: 1000 });
    low.ada.says({ valence: -0.6 }, 2000);
    expect(low.conversation.of("alert.raised")[0]?.data).toMatchObject({
      measure: "valence",
      threshold: -0.5,
    });
    const both = talk({ id: "both", labels: ["angry", "neutral"], above: 0.7, minDurationMs: 1000 });
    both.ada.says({ angry: 0.6 }, 2000);
    expect(both.conversation.of("alert.raised")[0]?.data.measure).toBe("angry+neutral");
  });

  test("is cleared before its voice leaves, when it pauses, and when its rule goes: 3 reasons", () => {
    const { conversation, ada } = talk();
    const bob = conversation.join("bob");
    const eve = conversation.join("eve");
    for (let i = 0; i < 8; i++) {
      conversation.mediaMs += 500;
      conversation.clock.advance(500);
      for (const talker of [ada, bob, eve]) talker.judged({ angry: 0.8 });
    }
    ada.leaves();
    conversation.publish("participant.paused", { ...bob.speaker, reason: "operator" });
    conversation.rules.remove("upset");
    expect(conversation.of("alert.cleared").map(({ data }) => [data.participantId, data.reason])).toEqual([
      ["ada", "left"],
      ["bob", "paused"],
      ["eve", "rule"],
    ]);
    const kinds = conversation.events.map(kindOf);
    expect(kinds.lastIndexOf("alert.cleared")).toBeGreaterThan(kinds.indexOf("participant.paused"));
  });

  test("that is raised is always cleared, once, before its participant has left: 200 random talks", () => {
    const step = fc.tuple(fc.constantFrom(0.1, 0.57, 0.8), fc.integer({ min: 0, max: 4000 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { conversation, ada } = talk();
        for (const [angry, silenceMs, abstained] of steps) {
          ada.isSilent(silenceMs);
          ada.says({ angry, abstained });
        }
        ada.leaves();
        const raised = conversation.of("alert.raised").map(({ data }) => data.alertId);
        const cleared = conversation.of("alert.cleared").map(({ data }) => data.alertId);
        expect(cleared).toEqual(raised);
        expect(new Set(raised).size).toBe(raised.length);
        expect(
          kindOf(conversation.events.at(-1) ?? conversation.factory.create("call.started", { callId: "x" })),
        ).toBe("participant.left");
      }),
      { numRuns: 200 },
    );
  });
});

describe("an alert rule", () => {
  test("is refused in 7 ways that would never or always be met, in words", () => {
    const wrong: [object, RegExp][] = [
      [{ ...UPSET, labels: ["angr"] }, /no label angr; it has neutral/],
      [{ ...UPSET, axis: "valence" }, /either labels or axis/],
      [{ id: "x", above: 1 }, /either labels or axis/],
      [{ ...UPSET, below: 0 }, /either above or below/],
      [{ ...UPSET, id: "a b" }, /1–64 letters/],
      [{ ...UPSET, minDurationMs: -1 }, /minDurationMs/],
      [{ ...UPSET, webhook: "http://169.254.169.254/" }, /webhook/],
    ];
    for (const [rule, message] of wrong) {
      expect(() => parseAlertRule(rule, LABELS)).toThrow(message);
      expect(() => parseAlertRule(rule, LABELS)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  test("is about 2 of 4 voices when it names a role and a prefix of calls", () => {
    const rule = parseAlertRule({ ...UPSET, roles: ["customer"], calls: ["support-*", "vip"] }, LABELS);
    const voices = [
      { callId: "support-1", role: "customer" },
      { callId: "vip", role: "customer" },
      { callId: "vip2", role: "customer" },
      { callId: "support-1", role: "guest" },
    ] as const;
    expect(voices.map((voice) => isAbout(rule, voice))).toEqual([true, true, false, false]);
  });

  test("is added, replaced, listed and removed; a 101st and a second of the same id are refused", () => {
    const rules = new AlertRules(LABELS, [UPSET]);
    expect(() => rules.add(UPSET)).toThrow(expect.objectContaining({ code: "conflict" }));
    expect(rules.set("upset", { ...UPSET, above: 0.9 })).toMatchObject({
      existed: true,
      rule: { above: 0.9 },
    });
    expect(() => rules.set("upset", { ...UPSET, id: "other" })).toThrow(/id must be upset/);
    for (let i = 1; i < 100; i++) rules.add({ ...UPSET, id: `rule-${i}` });
    expect(() => rules.add({ ...UPSET, id: "more" })).toThrow(
      expect.objectContaining({ code: "overloaded" }),
    );
    rules.remove("rule-1");
    expect(() => rules.remove("rule-1")).toThrow(expect.objectContaining({ code: "not-found" }));
    expect(rules.list()).toHaveLength(99);
  });

  test("added in mid-call watches the voices that are there: 1 alert", () => {
    const conversation = new Conversation();
    const ada = conversation.join("ada");
    ada.says({ angry: 0.8 }, 1000);
    conversation.rules.add(UPSET);
    ada.says({ angry: 0.8 }, 3000);
    expect(alerts(conversation)).toEqual(["alert.raised"]);
  });
});
