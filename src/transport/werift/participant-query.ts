/** Reads who is speaking from the query of an attach URL: `?call=…&participant=…&role=…&consent=…&name=…`. */
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";
import { oneOf, printable, quote } from "../participant-fields.ts";

const NAMES: ReadonlySet<string> = new Set(["call", "participant", "role", "consent", "name"]);

/**
 * `call` and `participant` default to `fallbackId`, so that a bare URL works; `role` and `consent` are left out when
 * not given, and the engine's defaults apply. A parameter of another name is refused: a misspelt `consent` would leave
 * someone paused without a word.
 * @throws TonetapError invalid-argument naming the parameter, its range and what came.
 */
export function participantFromQuery(query: URLSearchParams, fallbackId: string): ParticipantInfo {
  for (const name of query.keys()) {
    if (!NAMES.has(name)) {
      throw new TonetapError(
        "invalid-argument",
        `there is no parameter ${quote(name)}: there are ${[...NAMES].join(", ")}`,
      );
    }
  }
  const field = (name: string): [string, string | undefined] => [name, query.get(name) ?? undefined];
  const role = oneOf<ParticipantRole>(...field("role"), PARTICIPANT_ROLES);
  const consent = oneOf<ConsentState>(...field("consent"), CONSENT_STATES);
  const displayName = printable(...field("name"));
  return {
    callId: printable(...field("call")) ?? fallbackId,
    participantId: printable(...field("participant")) ?? fallbackId,
    ...(role === undefined ? {} : { role }),
    ...(consent === undefined ? {} : { consent }),
    ...(displayName === undefined ? {} : { displayName }),
  };
}
