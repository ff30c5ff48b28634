/**
 * Who is speaking on a media connection: from the URL's query and from parameters in the vendor's first message, which
 * win. Names are not case-sensitive: `role`, `consent`, `participant`, `name`, `call`, and for a connection's second
 * voice `outboundRole`, `internalConsent` and so on.
 */
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";
import { oneOf, printable, quote } from "../participant-fields.ts";

/** Parameter names in lower case → values. */
export type Parameters = ReadonlyMap<string, string>;

const NAMES = ["call", "participant", "role", "consent", "name"] as const;
const PREFIXES = ["", "outbound", "internal"] as const;
export type VoicePrefix = (typeof PREFIXES)[number];

const QUERY_NAMES: ReadonlySet<string> = new Set([
  "token",
  ...PREFIXES.flatMap((prefix) => NAMES.map((name) => prefix + name)),
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
        `there is no parameter ${quote(name)}: there are ${NAMES.join(", ")}, and those with outbound or internal before them`,
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
  fallback: {
    readonly callId: string;
    readonly participantId: string;
    readonly role?: ParticipantRole;
    readonly displayName?: string;
  },
): ParticipantInfo {
  const field = (name: (typeof NAMES)[number]): [string, string | undefined] => [
    prefix + name,
    parameters.get(prefix + name),
  ];
  const role = oneOf<ParticipantRole>(...field("role"), PARTICIPANT_ROLES) ?? fallback.role;
  const consent = oneOf<ConsentState>(...field("consent"), CONSENT_STATES);
  const displayName = printable(...field("name")) ?? fallback.displayName;
  return {
    callId: printable("call", parameters.get("call")) ?? fallback.callId,
    participantId: printable(...field("participant")) ?? fallback.participantId,
    ...(role === undefined ? {} : { role }),
    ...(consent === undefined ? {} : { consent }),
    ...(displayName === undefined ? {} : { displayName }),
  };
}
