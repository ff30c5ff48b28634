/** The terminal table fits, is safe, and shows what is live: terminal-view.ts, terminal-text.ts, event-line.ts. */
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import { EventFactory } from "../../src/events/event-factory.ts";
import { eventLine } from "../../src/events/event-line.ts";
import { EVENT_KINDS } from "../../src/events/schema.ts";
import { bar, cells, column, safe } from "../../src/events/terminal-text.ts";
import { TerminalView } from "../../src/events/terminal-view.ts";
import { ADA, emotion, emotionOf, joinedOf } from "./support.ts";

const factory = new EventFactory();

function talking(colour = false): TerminalView {
  const view = new TerminalView({ colour });
  view.setStatus("listening");
  view.apply(factory.create("call.started", { callId: "c1" }));
  view.apply(factory.create("participant.joined", { ...joinedOf(ADA), displayName: "Ada" }));
  return view;
}

const lineOf = (view: TerminalView, name: string, width = 120): string =>
  view
    .render(width)
    .split("\n")
    .find((line) => line.includes(name)) ?? "";

describe("text in cells", () => {
  test("is cut or filled to exactly the width asked for, for any text and widths of 1–40", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 30 }).map(safe);
    fc.assert(
      fc.property(
        text,
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom("left", "right"),
        (value, width, align) => {
          expect(cells(column(value, width, align as "left" | "right"))).toBe(width);
        },
      ),
    );
    expect(column("abcdef", 4)).toBe("abc…");
    expect(column("ab", 4, "right")).toBe("  ab");
    expect(cells("漢字 😀 e\u0301")).toBe(9);
  });

  test("has none of 7 ways to move the cursor or to write backwards left in it", () => {
    const evil = ["\u001b[2J", "\u009b2J", "\r", "\n", "\b", "\u202e", "\u2028"];
    for (const part of evil) expect(safe(`a${part}b`)).toMatch(/^a(\[2J|2J)?b$/);
  });

  test("draws bars of 8 heights, whatever the share", () => {
    expect([-1, 0, 0.12, 0.13, 0.5, 0.99, 1, 2].map(bar).join("")).toBe("▁▁▁▂▅███");
  });
});

describe("the table", () => {
  test("has no line wider than the terminal, at every width of 40–200, with 20 participants of any name", () => {
    const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(name, { maxLength: 20 }),
        fc.integer({ min: 40, max: 200 }),
        fc.boolean(),
        (names, width, colour) => {
          const view = talking(colour);
          for (const [i, displayName] of names.entries()) {
            const speaker = { ...ADA, participantId: `p${i}` };
            view.apply(factory.create("participant.joined", { ...joinedOf(speaker), displayName }));
            for (let n = 0; n < 3; n++) view.apply(emotion(factory, speaker, n));
            view.apply(factory.create("utterance", { ...eventExamples().utterance.data, ...speaker }));
            view.apply(
              factory.create("alert.raised", { ...eventExamples()["alert.raised"].data, ...speaker }),
            );
          }
          for (const line of view.render(width).split("\n")) expect(cells(line)).toBeLessThanOrEqual(width);
        },
      ),
      { numRuns: 30 },
    );
  });

  test("shows expression, confidence, speech, loss and latency of 1 participant", () => {
    const view = talking();
    view.apply(emotion(factory, ADA, 0));
    view.apply(factory.create("quality", { ...eventExamples().quality.data, ...ADA, lossShare: 0.034 }));
    expect(lineOf(view, "Ada")).toMatch(/^○ Ada +customer +▁▂▁▅ +angry +60 % +3\.4 % +15 ms/);
    view.apply(
      factory.create("speech.started", {
        ...ADA,
        mediaMs: 0,
        wall: eventExamples()["speech.started"].data.wall,
      }),
    );
    expect(lineOf(view, "Ada")).toMatch(/^● /);
  });

  test("shows where 1 voice goes, its alert while it stands, and 3 lines of what has happened", () => {
    const view = talking();
    view.apply(emotion(factory, ADA, 0));
    const { utterance, "alert.raised": raised, "alert.cleared": cleared } = eventExamples();
    const state = eventExamples()["participant.state"].data;
    view.apply(factory.create("participant.state", { ...state, ...ADA }));
    view.apply(factory.create("alert.raised", { ...raised.data, ...ADA, alertId: "a1" }));
    view.apply(factory.create("utterance", { ...utterance.data, ...ADA }));

    const [trend] = state.trends;
    expect(trend).toBeDefined();
    for (const width of [80, 120])
      expect(lineOf(view, "○ Ada", width)).toContain(
        `↗ ${trend?.of} ${Math.round((trend?.forMs ?? 0) / 1000)} s`,
      );
    const rule = raised.data.ruleName ?? raised.data.ruleId;
    const alert = `${rule}: ${raised.data.measure} ${raised.data.value.toFixed(2)}`;
    expect(view.render(80).split("\n")).toContain(`  ! ${alert}`);
    expect(view.render(80)).toMatch(/\d\d:\d\d:\d\d {2}Ada +ALERT {2}/);
    expect(view.render(80)).toMatch(/\d\d:\d\d:\d\d {2}Ada +\d+\.\d s {2}[▁-█]+ {2}\w+ +\d+ %/);

    view.apply(factory.create("alert.cleared", { ...cleared.data, ...ADA, alertId: "a1" }));
    expect(view.render(80)).not.toContain("  ! ");
    expect(view.render(80)).toMatch(/Ada +over /);
    // Title, legend, blank, call and row are 5 lines: a blank and 1 of the 3 fit in 7.
    expect(view.render(80, 7).split("\n")).toHaveLength(7);
    expect(view.render(80, 7)).toMatch(/Ada +over [^\n]+$/);
    expect(view.render(80, 6).split("\n")).toHaveLength(5);

    view.apply(factory.create("participant.paused", { ...ADA, reason: "consent-withdrawn" }));
    expect(view.render(80)).not.toMatch(/ALERT|over|↗|\d\d:\d\d:\d\d/);
  });

  test("says unsure for 1 window that abstained, and shows no label of it", () => {
    const view = talking();
    view.apply(factory.create("emotion", { ...emotionOf(ADA, 0), abstained: true }));
    expect(lineOf(view, "Ada")).toMatch(/unsure/);
    expect(lineOf(view, "Ada")).not.toMatch(/angry/);
  });

  test("forgets what was heard when analysis pauses: 0 of 5 windows left", () => {
    const view = talking();
    for (let i = 0; i < 5; i++) view.apply(emotion(factory, ADA, i));
    expect(lineOf(view, "Ada")).toContain("▅▅▅▅▅");
    view.apply(factory.create("participant.paused", { ...ADA, reason: "consent-withdrawn" }));
    expect(lineOf(view, "Ada")).toMatch(/paused/);
    expect(lineOf(view, "Ada")).not.toMatch(/[▁-█]/);
  });

  test("drops a row with participant.left and the 2 lines of a call with call.ended", () => {
    const view = talking();
    const windows = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
    view.apply(factory.create("participant.left", { ...ADA, reason: "left", durationMs: 1, windows }));
    expect(view.render(80)).not.toContain("Ada");
    expect(view.render(80)).toContain("call c1 · 0 participants");
    view.apply(
      factory.create("call.ended", { callId: "c1", reason: "empty", durationMs: 1, participants: 1 }),
    );
    expect(view.render(80)).toContain("No call yet.");
  });

  test("makes a row for 1 participant whose joined event a filter hides", () => {
    const view = new TerminalView({ colour: false });
    view.apply(emotion(factory, ADA, 0));
    expect(view.render(80)).toContain("call c1 · 1 participant\n");
    expect(lineOf(view, "ada")).toMatch(/angry/);
  });

  test("says in its last line how many of 30 rows do not fit in 10 lines", () => {
    const view = talking();
    for (let i = 1; i < 30; i++) {
      view.apply(factory.create("participant.joined", joinedOf({ ...ADA, participantId: `p${i}` })));
    }
    const lines = view.render(80, 10).split("\n");
    expect(lines).toHaveLength(10);
    // Title, legend, blank, call and 30 rows are 34 lines, of which 9 fit.
    expect(lines.at(-1)).toBe("… 25 more lines");
  });

  test("without colour writes 0 escape sequences, with colour says the same", () => {
    const [plain, coloured] = [talking(false), talking(true)];
    for (const view of [plain, coloured]) for (let i = 0; i < 3; i++) view.apply(emotion(factory, ADA, i));
    expect(plain.render(120)).toBe(stripVTControlCharacters(plain.render(120)));
    expect(coloured.render(120)).toContain("\u001b[38;5;202m");
    expect(stripVTControlCharacters(coloured.render(120))).toBe(plain.render(120));
  });
});

describe("an event as a line", () => {
  test("is one line without control characters for each of the 12 kinds, and names kind and subject", () => {
    for (const kind of EVENT_KINDS) {
      const line = eventLine(eventExamples()[kind]);
      expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} (service|support-4711(\/ada)?) /);
      expect(line).toContain(` ${kind}`);
      expect(line).toBe(safe(line));
    }
    expect(eventLine(eventExamples().emotion)).toBe(
      "09:30:06.052 support-4711/ada emotion angry 71 % valence -0.43 arousal 0.61 13 ms",
    );
  });
});
