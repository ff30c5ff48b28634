import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Grant, parseScope } from "../../src/access/index.ts";

const grant = (scopes: string[], tenant?: string) =>
  new Grant({ name: "key test", tenant, scopes: scopes.map(parseScope) });

describe("what a grant allows", () => {
  test("5 scopes are read, 6 texts that are none are named", () => {
    for (const scope of ["events:read", "calls:write", "metrics:read", "admin", "events:read:a*"])
      parseScope(scope);
    for (const wrong of ["", "events", "events:write", "admin:a*", "metrics:read:x", "Events:Read"]) {
      expect(() => parseScope(wrong)).toThrow(/a scope must be one of events:read, calls:write/);
    }
  });

  test("a pattern with 2 stars takes the calls it fits and no other right", () => {
    const caller = grant(["events:read:desk-*-eu*"]);
    expect(caller.may("events:read", "desk-1-eu")).toBe(true);
    expect(caller.may("events:read", "desk-1-eu-west")).toBe(true);
    expect(caller.may("events:read", "desk-1-us")).toBe(false);
    expect(caller.may("events:read", "my-desk-1-eu")).toBe(false);
    expect(caller.may("calls:write", "desk-1-eu")).toBe(false);
    expect(caller.may("events:read")).toBe(true);
    expect(caller.may("metrics:read")).toBe(false);
  });

  test("the pattern without stars takes 1 call; dots and brackets in it are themselves", () => {
    expect(grant(["events:read:a.c[1]"]).may("events:read", "a.c[1]")).toBe(true);
    expect(grant(["events:read:a.c[1]"]).may("events:read", "abc1")).toBe(false);
  });

  test("a star pattern fits as a regular expression would, over 300 generated ones", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
    fc.assert(
      fc.property(letters, fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 }), (pattern, id) => {
        const oracle = new RegExp(`^${pattern.replaceAll(/\*+/g, ".*")}$`);
        expect(grant([`calls:write:${pattern}`]).may("calls:write", id)).toBe(oracle.test(id));
      }),
      { numRuns: 300 },
    );
  });

  test("a tenant's grant ends at its tenant: 4 ids of others are closed to its admin, who has no right over all", () => {
    const caller = grant(["admin"], "acme");
    expect(caller.may("events:read", "acme~1")).toBe(true);
    expect(caller.may("calls:write", "acme~1")).toBe(true);
    for (const id of ["1", "acme", "beta~1", "acmex~1"]) {
      expect(caller.may("events:read", id), id).toBe(false);
    }
    expect(caller.may("admin")).toBe(false);
    expect(caller.may("metrics:read")).toBe(false);
  });

  test("a grant that is no longer valid allows 0 of 4 rights", () => {
    let valid = true;
    const caller = new Grant({ name: "x", scopes: [parseScope("admin")], isValid: () => valid });
    const rights = ["events:read", "calls:write", "metrics:read", "admin"] as const;
    expect(rights.filter((right) => caller.may(right)).length).toBe(4);
    valid = false;
    expect(rights.filter((right) => caller.may(right)).length).toBe(0);
  });
});
