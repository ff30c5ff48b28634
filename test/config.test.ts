import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configurationPage } from "../scripts/generate-config-docs.ts";
import { describeOptions, parseConfig, resolveConfig } from "../src/config.ts";

test("an empty input gives every default, and each of the defaults lies within its own range", () => {
  const config = parseConfig() as unknown as Record<string, Record<string, unknown>>;

  for (const option of describeOptions()) {
    const [section = "", name = ""] = option.path.split(".");
    const value = name === "" ? config[section] : config[section]?.[name];
    expect(value, option.path).toEqual(option.standard);
    expect(option.meaning.length, option.path).toBeGreaterThan(20);
    if (option.type === "number") {
      expect(option.standard).toBeGreaterThanOrEqual(option.min ?? Number.NaN);
      expect(option.standard).toBeLessThanOrEqual(option.max ?? Number.NaN);
    }
  }
});

test("all 3 wrong options are named, each with its range and what came", () => {
  expect(() => parseConfig({ window: { hopMs: -3 }, policy: "us", colour: "red" } as never)).toThrow(
    'window.hopMs must be 50–5000, got -3; policy must be one of eu, none, got "us"; unknown option colour',
  );
});

test("a longest wait of 100 ms below the shortest of 150 ms is refused before 1 participant fails by it", () => {
  expect(() => parseConfig({ jitter: { minWaitMs: 150, maxWaitMs: 100 } })).toThrow(
    "jitter.maxWaitMs must be at least jitter.minWaitMs",
  );
});

test("1 flag beats the environment, which beats the default, and each origin is known", () => {
  const { config, origins } = resolveConfig(
    {
      TONETAP_SERVICE_PORT: "9000",
      TONETAP_WINDOW_HOP_MS: "250",
      TONETAP_WHIP_ICE_SERVERS: "stun:a, stun:b",
    },
    { "service-port": "9001" },
  );

  expect(config.service.port).toBe(9001);
  expect(config.window.hopMs).toBe(250);
  expect(config.whip.iceServers).toEqual(["stun:a", "stun:b"]);
  expect(origins.get("service.port")).toBe("flag");
  expect(origins.get("window.hopMs")).toBe("environment");
  expect(origins.get("policy")).toBe("default");
});

test("an environment value that is no number is refused, not read as 0", () => {
  for (const value of ["", " ", "abc", "NaN", "1e9"]) {
    expect(() => resolveConfig({ TONETAP_SERVICE_PORT: value }, {})).toThrow("service.port must be 0–65535");
  }
});

test("docs/configuration.md names all options as the schema has them today", () => {
  const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");

  expect(page).toBe(configurationPage());
  expect(describeOptions().length).toBeGreaterThan(30);
});
