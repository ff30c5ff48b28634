/** Reads who is speaking from the query of an attach URL: `?call=…&participant=…&role=…&consent=…&name=…`. */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";
import { PARTICIPANT_FIELDS, participantFromFields, quote } from "../participant-fields.ts";

const NAMES: ReadonlySet<string> = new Set(PARTICIPANT_FIELDS);

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
  return participantFromFields((name) => [name, query.get(name) ?? undefined], {
    callId: fallbackId,
    participantId: fallbackId,
  });
}
