import { expect, test } from "vitest";
import { isUsedByAnalysis } from "../src/analysis-options.ts";
import { commandHelp } from "../src/cli-help.ts";
import { describeOptions, SERVICE_DEFAULTS } from "../src/config.ts";

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

test("help says the 2 defaults that serve has of its own", () => {
  const text = commandHelp({ ...SERVE, defaults: SERVICE_DEFAULTS }, 1_000);

  expect(text).toMatch(/--shards-count .*default auto/);
  expect(text).toMatch(/--overload-control .*default on\)/);
  expect(commandHelp(SERVE, 1_000)).toMatch(/--overload-control .*default off\)/);
});

test("help of analyze names at most 30 options: how it judges, and none of a server's", () => {
  const analyze = { usage: "tonetap analyze", meaning: "Analyses.", configured: isUsedByAnalysis };
  const text = commandHelp(analyze, 80);
  const flags = text.match(/^ {2}--[a-z-]+/gm) ?? [];
  expect(flags.length).toBeGreaterThanOrEqual(18);
  expect(flags.length).toBeLessThanOrEqual(30);
  for (const flag of ["--model-package", "--window-hop-ms", "--alerts-rules", "--events-state-ms"])
    expect(flags).toContain(`  ${flag}`);
  expect(text).not.toMatch(/--(service|sip|whip|auth|webhooks?|media|tracing|log|policy|audit)\b/);
});

test("help of a command without configuration has its 1 flag and nothing else", () => {
  const listen = { usage: "tonetap listen", meaning: "Listens.", configured: false };
  expect(commandHelp({ ...listen, flagHelp: { "--json": "As JSON." } }, 80)).toBe(
    `tonetap listen\nListens.\n\n  --json${" ".repeat(24)}As JSON.\n`,
  );
});
