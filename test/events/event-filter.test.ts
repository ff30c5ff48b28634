/** Filters let through what they say: event-filter.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import { compileFilter, filterFromQuery, parseFilter } from "../../src/events/event-filter.ts";
import { EVENT_KINDS, kindOf } from "../../src/events/schema.ts";

const all = Object.values(eventExamples());
const passing = (filter: Parameters<typeof compileFilter>[0]): string[] =>
  all.filter(compileFilter(filter)).map(kindOf);

describe("a filter", () => {
  test("that is empty or all stars passes all 21 kinds", () => {
    expect(passing({})).toHaveLength(21);
    expect(passing({ calls: "*", participants: "*", kinds: "*" })).toHaveLength(21);
  });

  test("by 1 call leaves out service.stats, by 1 participant also the 4 call events", () => {
    expect(passing({ calls: ["support-4711"] })).toHaveLength(20);
    expect(passing({ participants: ["ada"] })).toHaveLength(16);
    expect(passing({ calls: ["another"] })).toEqual([]);
    expect(passing({ participants: ["ada"], kinds: ["emotion", "call.ended"] })).toEqual(["emotion"]);
  });

  test("with an empty list passes 0 events", () => {
    expect(passing({ kinds: [] })).toEqual([]);
    expect(passing({ calls: [] })).toEqual([]);
  });

  test("by kinds passes exactly those, for any subset of the 21", () => {
    fc.assert(
      fc.property(fc.subarray([...EVENT_KINDS]), (kinds) => {
        expect(passing({ kinds }).sort()).toEqual([...kinds].sort());
      }),
    );
  });
});

describe("a filter of expressions", () => {
  const { emotion, utterance } = eventExamples();
  const judge = (filter: Parameters<typeof compileFilter>[0], data: object): boolean =>
    compileFilter(filter)({ ...emotion, data: { ...emotion.data, ...data } });

  test("by label or confidence concerns the 4 kinds that name an expression, and lets the 17 others pass", () => {
    expect(passing({ labels: ["sad"] })).toHaveLength(17);
    expect(passing({ labels: ["angry"] })).toHaveLength(21);
    expect(passing({ labels: [] })).toHaveLength(17);
    expect(passing({ labels: "*" })).toHaveLength(21);
    expect(passing({ minConfidence: 0.99, kinds: ["emotion", "utterance", "quality"] })).toEqual(["quality"]);
  });

  test("by confidence takes 0.6 for 0.6, and no window or talk-spurt that abstains or was not judged", () => {
    expect(judge({ minConfidence: 0.6 }, { confidence: 0.6 })).toBe(true);
    expect(judge({ minConfidence: 0.6 }, { confidence: 0.5999 })).toBe(false);
    expect(judge({ minConfidence: 0.6 }, { confidence: 0.9, abstained: true })).toBe(false);
    expect(judge({ labels: ["angry"] }, { abstained: true })).toBe(true);
    const { expression: _, ...unjudged } = utterance.data;
    expect(compileFilter({ minConfidence: 0.1 })({ ...utterance, data: unjudged })).toBe(false);
  });

  test("is read from a query and refused out of range: 0.6 is, 1.2 and x are not", () => {
    const read = (query: string) => filterFromQuery(new URLSearchParams(query));
    expect(read("label=angry,sad&minConfidence=0.6")).toEqual({
      labels: ["angry", "sad"],
      minConfidence: 0.6,
    });
    for (const wrong of ["1.2", "x"]) expect(() => read(`minConfidence=${wrong}`)).toThrow(/minConfidence/);
  });
});

describe("a filter in a query", () => {
  const read = (query: string) => filterFromQuery(new URLSearchParams(query));

  test("is read from comma lists, repeated names and stars: 5 spellings", () => {
    expect(read("kinds=emotion,speech.started")).toEqual({ kinds: ["emotion", "speech.started"] });
    expect(read("call=a&call=b,c")).toEqual({ calls: ["a", "b", "c"] });
    expect(read("participant=x, y")).toEqual({ participants: ["x", "y"] });
    expect(read("call=*&kinds=")).toEqual({});
    expect(read("")).toEqual({});
  });

  test("as JSON carries ids with commas, whatever the 2 ids are", () => {
    const id = fc.string({ minLength: 1, maxLength: 128 });
    fc.assert(
      fc.property(id, id, (a, b) => {
        const query = new URLSearchParams({ filter: JSON.stringify({ calls: [a, b] }) });
        expect(filterFromQuery(new URLSearchParams(query.toString()))).toEqual({ calls: [a, b] });
      }),
    );
  });

  test("that names 1 unknown kind is answered with the 21 there are", () => {
    expect(() => read("kinds=emoton")).toThrow(
      `filter: kinds: must be "*" or a list of ${EVENT_KINDS.join(", ")}`,
    );
  });

  test("is refused with a text of at most 480 characters when it says one of 5 wrong things", () => {
    const wrong = ["kind=emotion", "kinds=emotions", `call=${"x".repeat(129)}`, "filter={", "filter=[1]"];
    for (const query of wrong) {
      expect(() => read(query)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
      try {
        read(query);
      } catch (error) {
        expect(String(error).length).toBeLessThan(480);
      }
    }
  });

  test("is refused when a list names more than 256", () => {
    const calls = (length: number) => Array.from({ length }, (_, i) => `c${i}`);
    expect(parseFilter({ calls: calls(256) }).calls).toHaveLength(256);
    expect(() => parseFilter({ calls: calls(257) })).toThrow(/filter: calls/);
  });
});
