import { expect, test } from "vitest";
import { commandHelp } from "../src/cli-help.ts";
import { describeOptions } from "../src/config.ts";

const SERVE = { usage: "tonetap serve", meaning: "Runs the service.", configured: true };

test("help of a configured command names every option once, under 16 headings or more, in 80 columns", () => {
  const lines = commandHelp(SERVE, 80).split("\n");
  for (const { flag } of describeOptions()) {
    expect(
      lines.filter((line) => line.trim().split(" ")[0] === flag),
      flag,
    ).toHaveLength(1);
  }
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  // Usage, its meaning and the last line are no headings.
  expect(lines.filter((line) => /^\S/.test(line)).length - 3).toBeGreaterThanOrEqual(16);
});

test("help of a command without configuration has its 1 flag and nothing else", () => {
  const listen = { usage: "tonetap listen", meaning: "Listens.", configured: false };
  expect(commandHelp({ ...listen, flagHelp: { "--json": "As JSON." } }, 80)).toBe(
    `tonetap listen\nListens.\n\n  --json${" ".repeat(24)}As JSON.\n`,
  );
});
