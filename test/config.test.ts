import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { configurationPage } from "../scripts/generate-config-docs.ts";
import { describeOptions, parseConfig, resolveConfig, SERVICE_DEFAULTS } from "../src/config.ts";
import { assertKnownVariables, assertNotKubernetes, readConfigFile } from "../src/config-file.ts";

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

test("defaults of a command's own are below a file and above the schema's: 1 of each, and 1 flag has Mib as one word", () => {
  const file = { shards: { count: 3 } };
  const { config, origins } = resolveConfig({}, { "events-replay-mib": "8" }, file, SERVICE_DEFAULTS);

  expect([config.shards.count, config.overload.control, config.events.replayMiB]).toEqual([3, "on", 8]);
  expect(["shards.count", "overload.control"].map((path) => origins.get(path))).toEqual(["file", "default"]);
  expect(resolveConfig({}, {}).config.overload.control).toBe("off");
  expect(resolveConfig({}, {}, {}, SERVICE_DEFAULTS).config.shards.count).toBe("auto");
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

describe("the configuration file", () => {
  const folder = mkdtempSync(join(tmpdir(), "tonetap-config-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const read = (text: string) => {
    const path = join(folder, "tonetap.yaml");
    writeFileSync(path, text);
    return readConfigFile(path);
  };

  test("is below environment and flags and above defaults: 4 values, each from where it should be", () => {
    const file = read("service:\n  port: 1\n  host: 127.0.0.2\nwindow:\n  hopMs: 300\n");
    const { config, origins } = resolveConfig(
      { TONETAP_SERVICE_PORT: "2", TONETAP_WINDOW_HOP_MS: "250" },
      { "service-port": "3" },
      file,
    );
    expect([config.service.port, config.window.hopMs, config.service.host, config.policy]).toEqual([
      3,
      250,
      "127.0.0.2",
      "eu",
    ]);
    expect(
      ["service.port", "window.hopMs", "service.host", "policy"].map((path) => origins.get(path)),
    ).toEqual(["flag", "environment", "file", "default"]);
    expect(file).toEqual({ service: { port: 1, host: "127.0.0.2" }, window: { hopMs: 300 } });
    expect(resolveConfig({}, {}, read("# nothing yet\n")).config).toEqual(parseConfig());
  });

  test("with 5 faults is refused, naming what was probably meant and no secret", () => {
    const wrong: [string, string][] = [
      ["service:\n  prot: 1\n", "unknown option service.prot, did you mean service.port?"],
      ["polcy: eu\n", "unknown option polcy, did you mean policy?"],
      ["service: 3\n", "service must be an object, got 3"],
      ["window:\n  hopMs: fast\n", 'window.hopMs must be 50–5000, got "fast"'],
      ["whip:\n  tokens: hush-hush\n", "whip.tokens must be a list of texts, got something else"],
    ];
    for (const [text, message] of wrong) {
      expect(() => resolveConfig({}, {}, read(text)), text).toThrow(message);
    }
    expect(() => read("a: [hush-hush")).toThrow(/is no YAML: see line 1$/);
    expect(() => read("- 1\n")).toThrow("must hold sections");
    expect(() => readConfigFile("/nowhere.yaml")).toThrow("must be a file that can be read");
  });
});

test("1 unknown variable is named with its nearest; keys, Kubernetes' own and other programs' are left alone", () => {
  const known = describeOptions().map(({ env }) => env);
  expect(() => assertKnownVariables({ TONETAP_WINDOW_HOP: "1" }, known)).toThrow(
    "unknown variable TONETAP_WINDOW_HOP, did you mean TONETAP_WINDOW_HOP_MS?",
  );
  assertKnownVariables(
    { TONETAP_KEY: "k", TONETAP_CONFIG: "f", TONETAP_PORT_8080_TCP: "x", PATH: "y", TONETAP_POLICY: "eu" },
    known,
  );
});

test("the variables that Kubernetes sets beside a Service called tonetap are told from one's own: 3 refused, 4 taken", () => {
  const link = { TONETAP_PORT: "tcp://10.96.0.11:8080", TONETAP_SERVICE_PORT: "8080" };
  const injected = { ...link, TONETAP_SERVICE_HOST: "10.96.0.11" };
  expect(() => assertNotKubernetes(injected, {})).toThrow(
    /TONETAP_SERVICE_HOST=10\.96\.0\.11 was set by Kubernetes .*enableServiceLinks: false.*--service-host and --service-port/,
  );
  expect(() => assertNotKubernetes(injected, { "service-host": "0.0.0.0" })).toThrow("Kubernetes");
  const six = { TONETAP_PORT: "udp://[fd00::b]:9", TONETAP_SERVICE_HOST: "fd00::b" };
  expect(() => assertNotKubernetes(six, {})).toThrow("Kubernetes");

  assertNotKubernetes({}, {});
  assertNotKubernetes({ TONETAP_SERVICE_HOST: "10.96.0.11" }, {});
  assertNotKubernetes({ ...link, TONETAP_SERVICE_HOST: "0.0.0.0" }, {});
  assertNotKubernetes(injected, { "service-host": "0.0.0.0", "service-port": "8080" });
});
