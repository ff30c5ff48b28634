/**
 * Every option, once: default, unit, range and meaning. Flags, environment names, the README's table and the error
 * texts are all read off this schema. What an option does is in the folder that takes it.
 */
import { z } from "zod";
import { authSection } from "./auth-config.ts";
import { json, number, secret, section, text, whole } from "./config-fields.ts";
import { suggestion } from "./config-file.ts";
import { fromText, type OptionInfo, optionsOf, rangeOf } from "./config-options.ts";
import { consentSection, noticeSection } from "./consent-config.ts";
import { TonetapError } from "./core/errors.ts";
import { audioSocketSection, mediaSection } from "./media-config.ts";
import { modelSection } from "./model-config.ts";
import { overloadSection } from "./overload-config.ts";
import { serviceSection } from "./service-config.ts";
import { sipSection } from "./sip-config.ts";
import { whipSection } from "./whip-config.ts";

export const configSchema = z.strictObject({
  service: serviceSection,
  auth: authSection,
  audit: section("The record of consent, policy and models", {
    file: text(
      "",
      "File that consent, policy and models are recorded in, hash-chained (docs/consent.md); none: no record.",
    ),
  }),
  model: modelSection,
  shards: section("Threads that work on audio", {
    count: z
      .union([z.literal("auto"), z.int().min(0).max(64)])
      .default(0)
      .describe(
        "Threads that receive, decode and make features; 0: the caller's own, auto: one a core if there are several. " +
          "`tonetap serve` takes auto unless told otherwise.",
      ),
    maxHeapMiB: whole(
      32,
      65_536,
      1_024,
      "MiB of JavaScript heap that each may have; one that wants more is ended and replaced.",
    ),
    hangLimitMs: whole(
      2_000,
      600_000,
      15_000,
      "ms without a sign of life after which one of them hangs and is ended and replaced.",
    ),
  }),
  window: section("Windows of speech and their features", {
    hopMs: whole(50, 5_000, 500, "ms of media between windows."),
    minWindowMs: whole(
      100,
      10_000,
      1_000,
      "ms of a talk-spurt before its first window; the model's length is the longest.",
    ),
    minSpeechShare: number(0, 1, 0.3, "Share of frames that must be speech, else the window is gated."),
    maxLossShare: number(0, 1, 0.5, "Share of concealed or lost frames above which a window is gated."),
    features: z
      .enum(["fast", "reference"])
      .default("fast")
      .describe("Feature kernel: WASM-SIMD, or the float64 reference it is checked against."),
  }),
  overload: overloadSection,
  jitter: section("Waiting for late packets", {
    minWaitMs: number(0, 200, 40, "ms a hole is waited for at least. Packets in sequence never wait."),
    maxWaitMs: number(0, 1_000, 200, "ms a hole is waited for at most."),
    stallMs: number(
      50,
      10_000,
      600,
      "ms without a packet after which an open talk-spurt is closed: longer than a network stalls.",
    ),
  }).refine(({ minWaitMs, maxWaitMs }) => minWaitMs <= maxWaitMs, {
    path: ["maxWaitMs"],
    message: "must be at least jitter.minWaitMs",
  }),
  smoothing: section("What is shown of many windows", {
    timeConstantMs: number(
      0,
      10_000,
      1_000,
      "ms over which probabilities are smoothed; 0 shows each window alone.",
    ),
    switchMargin: number(
      0,
      1,
      0.08,
      "Probability by which another label must lead before the shown one changes.",
    ),
  }),
  events: section("Events", {
    qualityMs: whole(500, 60_000, 5_000, "ms between quality events of a participant."),
    statsMs: whole(200, 60_000, 1_000, "ms between service.stats events."),
    instance: text("local", "Names this service in the CloudEvents source, /tonetap/<instance>."),
    stateMs: whole(200, 60_000, 2_000, "ms between two rolling states of a participant or a call at least."),
    stateTimeConstantMs: number(
      500,
      120_000,
      8_000,
      "ms of speech over which rolling states are weighted; trends compare them with four times as much.",
    ),
    replayMs: whole(
      0,
      600_000,
      60_000,
      "ms that events are kept in memory for subscribers who lost their connection; 0 keeps none. Nothing is stored.",
    ),
    replayMiB: number(1, 1_024, 64, "MiB of events kept for them at most; the oldest go first."),
  }),
  alerts: section("Alerts", {
    rules: json("Alert rules, as at /v1/alerts/rules (docs/events.md). Those made by REST are not kept."),
  }),
  webhooks: section("Events sent by HTTP", {
    targets: secret(
      json("Where events are sent by HTTP: id, url, secrets and filter (docs/events.md). Holds secrets."),
    ),
  }),
  rtp: section("Plain RTP and SRTP", {
    host: text("127.0.0.1", "Address that plain RTP ports are bound to."),
    inactivityMs: number(1_000, 600_000, 30_000, "ms without a packet after which a participant has left."),
    armingMs: number(
      1_000,
      86_400_000,
      60_000,
      "ms that a new port waits for its first packet; then its participant leaves with the error timeout.",
    ),
    maxPacketsPerSecond: whole(
      50,
      100_000,
      1_000,
      "Packets a second of one RTP or WHIP peer at most; those beyond are dropped and counted.",
    ),
  }),
  whip: whipSection,
  sip: sipSection,
  media: mediaSection,
  audioSocket: audioSocketSection,
  consent: consentSection,
  notice: noticeSection,
  log: section("Logs", {
    level: z
      .enum(["error", "warn", "info", "debug", "silent"])
      .default("info")
      .describe("What `serve` logs, to standard error; never what a voice expressed."),
    format: z
      .enum(["auto", "json", "pretty"])
      .default("auto")
      .describe("JSON, one object a line, or lines for people; auto: for people where it is a terminal."),
  }),
  tracing: section("Traces", {
    sampleEvery: whole(
      0,
      1_000_000,
      100,
      "One window of so many gets OpenTelemetry spans, if an SDK is registered in the process; 0: none.",
    ),
  }),
  policy: z
    .enum(["eu", "none"])
    .default("eu")
    .describe(
      "eu refuses roles that EU AI Act Art. 5(1)(f) forbids (employee, agent, student); none is your own responsibility.",
    ),
});

export { type OptionInfo, rangeOf } from "./config-options.ts";

/** The effective configuration: every option present. */
export type Config = z.output<typeof configSchema>;
/** What a user writes: any subset. */
export type ConfigInput = z.input<typeof configSchema>;

/** Every option, in the order of the schema. */
export const describeOptions = (): OptionInfo[] => optionsOf(configSchema);

/**
 * Fills in defaults and checks ranges.
 * @throws TonetapError invalid-argument, naming every option that is wrong, its range and what came.
 */
export function parseConfig(input: ConfigInput = {}): Config {
  const result = configSchema.safeParse(input, { reportInput: true });
  if (result.success) return result.data;
  const options = new Map(describeOptions().map((option) => [option.path, option]));
  const lines = result.error.issues.map((issue) => {
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys") {
      const known = [...options.keys()];
      const names = issue.keys.map((key) => (path === "" ? key : `${path}.${key}`));
      return `unknown option ${names.map((name) => `${name}${suggestion(name, known)}`).join(", ")}`;
    }
    if (issue.code === "custom") return `${path} ${issue.message}`;
    const option = options.get(path);
    const came = option?.secret ? "something else" : JSON.stringify(issue.input);
    return `${path} must be ${option === undefined ? "an object" : rangeOf(option)}, got ${came}`;
  });
  throw new TonetapError("invalid-argument", lines.join("; "));
}

/**
 * What `tonetap serve` takes where nobody says otherwise, in place of an option's default: a service has its machine to
 * itself, takes all cores, and keeps within them.
 */
export const SERVICE_DEFAULTS: Readonly<Record<string, string>> = {
  "shards.count": "auto",
  "overload.control": "on",
};

/** Where an effective value came from. */
export type ConfigOrigin = "default" | "file" | "environment" | "flag";

/**
 * Merges defaults, file, environment and flags (the later wins).
 * @param flags by flag name without dashes, as node:util parseArgs gives them
 * @param file what readConfigFile() gave; it is not changed
 * @param defaults by path, in place of the options' own
 * @throws TonetapError invalid-argument
 */
export function resolveConfig(
  environment: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, string | undefined>>,
  file: Readonly<Record<string, unknown>> = {},
  defaults: Readonly<Record<string, unknown>> = {},
): { readonly config: Config; readonly origins: ReadonlyMap<string, ConfigOrigin> } {
  const input: Record<string, unknown> = structuredClone(file);
  const origins = new Map<string, ConfigOrigin>();
  for (const option of describeOptions()) {
    const flag = flags[option.flag.slice(2)];
    const raw = flag ?? environment[option.env];
    const names = option.path.split(".");
    const leaf = names.pop() ?? "";
    let target = input;
    for (const name of names) {
      target[name] ??= {};
      const section = target[name];
      // In a file a text may stand where a section belongs: parseConfig() names it.
      target = typeof section === "object" && section !== null ? (section as Record<string, unknown>) : {};
    }
    const isInFile = Object.hasOwn(target, leaf);
    if (raw === undefined) {
      origins.set(option.path, isInFile ? "file" : "default");
      if (!isInFile && Object.hasOwn(defaults, option.path)) target[leaf] = defaults[option.path];
      continue;
    }
    origins.set(option.path, flag !== undefined ? "flag" : "environment");
    target[leaf] = fromText(option, raw);
  }
  return { config: parseConfig(input as ConfigInput), origins };
}
