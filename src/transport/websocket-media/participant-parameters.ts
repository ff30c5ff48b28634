/**
 * Who is speaking on a media connection: from the URL's query and from parameters in the vendor's first message, which
 * win. Names are not case-sensitive: `role`, `consent`, `participant`, `name`, `call`, and for a connection's second
 * voice `outboundRole`, `internalConsent` and so on.
 */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";
import {
  PARTICIPANT_FIELDS,
  type ParticipantFallback,
  participantFromFields,
  quote,
} from "../participant-fields.ts";

/** Parameter names in lower case → values. */
export type Parameters = ReadonlyMap<string, string>;

const PREFIXES = ["", "outbound", "internal"] as const;
export type VoicePrefix = (typeof PREFIXES)[number];

const QUERY_NAMES: ReadonlySet<string> = new Set([
  "token",
  ...PREFIXES.flatMap((prefix) => PARTICIPANT_FIELDS.map((name) => prefix + name)),
]);

/**
 * Later ones win. What is no text is left out.
 * @throws TonetapError invalid-argument for a query parameter of another name: a misspelt `consent` would leave someone
 * paused without a word. Vendors' own parameters may have any name.
 */
export function readParameters(
  query: URLSearchParams,
  ...own: readonly (Readonly<Record<string, unknown>> | undefined)[]
): Parameters {
  const parameters = new Map<string, string>();
  for (const [name, value] of query) {
    const key = name.toLowerCase();
    if (!QUERY_NAMES.has(key)) {
      throw new TonetapError(
        "invalid-argument",
        `there is no parameter ${quote(name)}: there are ${PARTICIPANT_FIELDS.join(", ")}, and those with outbound or internal before them`,
      );
    }
    parameters.set(key, value);
  }
  for (const record of own) {
    for (const [name, value] of Object.entries(record ?? {})) {
      if (typeof value === "string") parameters.set(name.toLowerCase(), value);
    }
  }
  return parameters;
}

/** @throws TonetapError invalid-argument naming the parameter, its range and what came. */
export function participantFrom(
  parameters: Parameters,
  prefix: VoicePrefix,
  fallback: ParticipantFallback,
): ParticipantInfo {
  return participantFromFields((name) => {
    // One call a connection, whoever speaks.
    const said = name === "call" ? name : prefix + name;
    return [said, parameters.get(said)];
  }, fallback);
}
