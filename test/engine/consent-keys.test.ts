/** Which rows of keys mean what: consent-keys.ts. */
import { expect, test } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { ConsentKeys } from "../../src/consent-keys.ts";
import { ManualClock } from "../support/manual-clock.ts";

const OPTIONS = { grantKeys: "*1", withdrawKeys: "*9", keyPauseMs: 3_000 };

test("*9 and *1 count wherever they come in a row, unless 3,001 ms pass between 2 keys", () => {
  const clock = new ManualClock();
  const keys = new ConsentKeys(OPTIONS, clock);
  const type = (row: string, pauseMs = 100) =>
    [...row].map((key) => {
      clock.advance(pauseMs);
      return keys.press(key);
    });
  expect(type("0*9").at(-1)).toBe("withdrawn");
  expect(type("**1").at(-1)).toBe("granted");
  // What counted is used up.
  expect(type("1")).toEqual([undefined]);
  expect(type("*9", 3_000).at(-1)).toBe("withdrawn");
  expect(type("*9", 3_001)).toEqual([undefined, undefined]);
  expect(type("*").concat(type("#9"))).toEqual([undefined, undefined, undefined]);
});

test("without keys none mean anything, and 3 wrong settings are named", () => {
  const none = new ConsentKeys({ ...OPTIONS, grantKeys: "", withdrawKeys: "" }, new ManualClock());
  expect([none.isWatching, none.press("9")]).toEqual([false, undefined]);
  for (const consent of [
    { grantKeys: "9", withdrawKeys: "*9" },
    { grantKeys: "*9", withdrawKeys: "9" },
  ]) {
    expect(() => parseConfig({ consent })).toThrow(
      "consent.grantKeys and consent.withdrawKeys must not end in one another",
    );
  }
  expect(() => parseConfig({ consent: { withdrawKeys: "*x" } })).toThrow("consent.withdrawKeys must be");
});
