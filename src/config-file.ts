/** The YAML file of options, and names that are none: each is told with the one that was probably meant. What options there are is config.ts. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { TonetapError } from "./core/errors.ts";

/** Of the environment, but no options: a key for `listen`, the file itself. */
const OTHER_NAMES: ReadonlySet<string> = new Set(["TONETAP_KEY", "TONETAP_CONFIG"]);
/** What Kubernetes puts into the environment of pods beside a service called tonetap. */
const KUBERNETES = /^TONETAP_(PORT(_.*)?|SERVICE_PORT_.*)$/;
/** Letters that a wrong name may differ by, for a right one to be offered. */
const MAX_DISTANCE = 6;

/**
 * The options of a file, as they stand there: sections and names as in `tonetap config`. What they say is not checked.
 * @throws TonetapError invalid-argument for a file that cannot be read, or holds no sections
 */
export function readConfigFile(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"));
  } catch (error) {
    // The parser's message repeats the line, and a secret may stand there.
    const place = error instanceof Error && "linePos" in error ? lineOf(error.linePos) : "";
    const what = place === "" ? "must be a file that can be read" : `is no YAML: see line ${place}`;
    throw new TonetapError("invalid-argument", `the configuration file ${JSON.stringify(path)} ${what}`);
  }
  if (value === null || value === undefined) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TonetapError(
    "invalid-argument",
    `the configuration file ${JSON.stringify(path)} must hold sections, as in "service:\\n  port: 9000"`,
  );
}

/** @throws TonetapError invalid-argument naming every variable that looks like an option and is none */
export function assertKnownVariables(
  environment: Readonly<Record<string, string | undefined>>,
  known: readonly string[],
): void {
  const unknown = Object.keys(environment).filter(
    (name) =>
      name.startsWith("TONETAP_") &&
      !known.includes(name) &&
      !OTHER_NAMES.has(name) &&
      !KUBERNETES.test(name),
  );
  if (unknown.length === 0) return;
  const lines = unknown.map((name) => `unknown variable ${name}${suggestion(name, known)}`);
  throw new TonetapError("invalid-argument", lines.join("; "));
}

/**
 * Beside a Kubernetes Service called `tonetap`, pods are given its address in variables that are called as two options
 * are. Listening there is not what anybody meant.
 * @param flags without dashes
 * @throws TonetapError invalid-argument, saying where they came from and what to do
 */
export function assertNotKubernetes(
  environment: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, string | undefined>>,
): void {
  const { TONETAP_SERVICE_HOST: host = "", TONETAP_PORT: link = "" } = environment;
  // Who sets the variable in the pod's own specification has another address there than the link has.
  const injected = host !== "" && /^(tcp|udp|sctp):\/\//.test(link) && hostOf(link) === host;
  if (!injected || (flags["service-host"] !== undefined && flags["service-port"] !== undefined)) return;
  throw new TonetapError(
    "invalid-argument",
    `TONETAP_SERVICE_HOST=${host} was set by Kubernetes for a Service called "tonetap" (TONETAP_PORT=${link}), not as ` +
      "the option service.host: set enableServiceLinks: false in the pod, or call the Service something else, or give " +
      "both --service-host and --service-port",
  );
}

/** `tcp://10.0.0.11:8080`, `tcp://[fd00::1]:8080` */
const hostOf = (link: string): string =>
  link
    .replace(/^\w+:\/\//, "")
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "");

/** `, did you mean …?`, or nothing where nothing is near. */
export function suggestion(name: string, known: readonly string[]): string {
  let best = "";
  let least = Math.min(MAX_DISTANCE, name.length / 2);
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance > least || (distance === least && best !== "")) continue;
    best = candidate;
    least = distance;
  }
  return best === "" ? "" : `, did you mean ${best}?`;
}

/** Letters to add, take out or change (Levenshtein), row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (letter === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

const lineOf = (position: unknown): string => {
  const [start] = Array.isArray(position) ? (position as { line?: unknown }[]) : [];
  return typeof start?.line === "number" ? String(start.line) : "";
};
