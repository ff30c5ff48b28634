/** Events are valid CloudEvents of a stable shape: schema.ts, event-factory.ts, event-data.ts, event-examples.ts. */
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import { monotonicMs } from "../../src/core/units.ts";
import { emotionData } from "../../src/events/event-data.ts";
import { eventExamples } from "../../src/events/event-examples.ts";
import { EventFactory, subjectOf } from "../../src/events/event-factory.ts";
import { EVENT_KINDS, kindOf, type TonetapEvent, tonetapEventSchema } from "../../src/events/schema.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ADA, emotionOf, emotionResult, LABELS } from "./support.ts";

type DeepReadonly<T> = T extends object ? { readonly [P in keyof T]: DeepReadonly<T[P]> } : T;

describe("the schema", () => {
  test("takes each of the 21 examples and finds no field in them that it does not know", () => {
    const examples = Object.values(eventExamples());
    expect(examples.map(kindOf).sort()).toEqual([...EVENT_KINDS].sort());
    expect(examples).toHaveLength(21);
    // Parsing strips unknown fields: an equal result had none.
    for (const example of examples) expect(tonetapEventSchema.parse(example)).toEqual(example);
  });

  test("has exactly the TypeScript type that programs switch on, for all 21 kinds", () => {
    expectTypeOf<DeepReadonly<z.infer<typeof tonetapEventSchema>>>().toEqualTypeOf<
      DeepReadonly<TonetapEvent>
    >();
  });

  test("refuses 6 events that are wrong in one place", () => {
    const good = eventExamples().emotion;
    const wrong = [
      { ...good, specversion: "0.3" },
      { ...good, type: "tonetap.mood" },
      { ...good, dataschema: "urn:tonetap:emotion:2" },
      { ...good, time: "yesterday" },
      { ...good, data: { ...good.data, confidence: 1.2 } },
      { ...good, data: { ...good.data, role: "boss" } },
    ];
    for (const event of wrong) expect(tonetapEventSchema.safeParse(event).success).toBe(false);
  });
});

describe("an event factory", () => {
  test("gives 10,000 ids that sort as strings, and a restart 1 ms later goes on above them", () => {
    const clock = new ManualClock();
    const before = new EventFactory({ clock });
    const ids = Array.from({ length: 10_000 }, () => before.create("call.started", { callId: "c" }).id);
    clock.advance(1);
    ids.push(new EventFactory({ clock }).create("call.started", { callId: "c" }).id);
    expect(new Set(ids).size).toBe(10_001);
    expect([...ids].sort()).toEqual(ids);
  });

  test("stamps the wall time of its clock to the millisecond", () => {
    const clock = new ManualClock(0, Date.UTC(2026, 4, 1));
    const factory = new EventFactory({ clock, instance: "desk-1" });
    clock.advance(1234);
    const event = factory.create("call.started", { callId: "c" });
    expect(event.time).toBe("2026-05-01T00:00:01.234Z");
    expect(event.source).toBe("/tonetap/desk-1");
  });

  test("refuses 4 instance names that would break the source URI", () => {
    for (const instance of ["", "a/b", "a b", "x".repeat(65)]) {
      expect(() => new EventFactory({ instance })).toThrow(/instance must be 1–64/);
    }
  });

  test("makes subjects of any ids that split into 4 parts again, lone surrogates included", () => {
    const id = fc.string({ unit: fc.constantFrom("a", "/", "%", " ", "ü", "\uD800", "😀"), minLength: 1 });
    fc.assert(
      fc.property(id, id, (callId, participantId) => {
        const parts = subjectOf({ ...emotionOf(ADA, 0), callId, participantId }).split("/");
        expect(parts).toHaveLength(4);
        expect(decodeURIComponent(parts[1] ?? "")).toBe(callId.toWellFormed());
        expect(decodeURIComponent(parts[3] ?? "")).toBe(participantId.toWellFormed());
      }),
    );
  });

  test("rounds every number to 4 decimals and leaves its argument alone", () => {
    const factory = new EventFactory();
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true }), (valence) => {
        const data = Object.freeze({ ...emotionOf(ADA, 0), valence });
        const rounded = factory.create("emotion", data).data.valence;
        expect(Math.abs(rounded - valence)).toBeLessThanOrEqual(0.00005 + 1e-12);
        expect(String(rounded).replace(/^-?\d+\.?/, "").length).toBeLessThanOrEqual(4);
      }),
    );
  });
});

describe("emotion data", () => {
  test("names each score by its label and counts latency from the arrival of the last packet, 15.3 ms", () => {
    const data = emotionData(ADA, emotionResult(7), LABELS, monotonicMs(1015.25));
    expect(Object.keys(data.scores)).toEqual(LABELS);
    expect(data.top).toBe("angry");
    expect(data.latency).toEqual({ totalMs: 15.3, queuedMs: 3, inferenceMs: 8 });
    expect(data.media).toEqual({ startMs: 3500, endMs: 6500 });
    expect(data.wall.end).toBe("2026-01-01T00:00:06.500Z");
  });

  test("calls 3 labels for 4 scores a defect of ours", () => {
    expect(() => emotionData(ADA, emotionResult(0), LABELS.slice(0, 3), monotonicMs(0))).toThrow(
      expect.objectContaining({ code: "internal" }),
    );
  });
});

describe("ids of events", () => {
  test("rise over 20,000 events at 1 moment and over moments, and say nothing of how many were between", async () => {
    const clock = new ManualClock();
    const factory = new EventFactory({ clock });
    const ids: string[] = [];
    for (let n = 0; n < 20_000; n++) {
      if (n % 1_000 === 999) await clock.advance(n % 2_000 === 999 ? 1 : 250);
      ids.push(factory.create("call.started", { callId: "c" }).id);
    }
    expect(new Set(ids).size).toBe(20_000);
    expect(ids).toEqual([...ids].sort());
    expect(new Set(ids.map((id) => id.length)).size).toBe(1);

    // Two of the same second: with 0 and with 1,000 events of others between, the later id is as good as any.
    const gapAfter = async (others: number): Promise<string> => {
      const own = new EventFactory({ clock });
      own.create("call.started", { callId: "c" });
      await clock.advance(500);
      for (let n = 0; n < others; n++) own.create("call.started", { callId: "x" });
      await clock.advance(500);
      return own.create("call.started", { callId: "c" }).id.split("-")[1] ?? "";
    };
    const [alone, among] = [await gapAfter(0), await gapAfter(1_000)];
    // The moment is the same, and what follows it is random.
    expect(alone.slice(0, 8)).toBe(among.slice(0, 8));
    expect(alone.slice(8)).not.toBe(among.slice(8));
  });
});
