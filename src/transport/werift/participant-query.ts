/** Reads who is speaking from the query of an attach URL: `?call=…&participant=…&role=…&consent=…&name=…`. */
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";

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
  const role = choice<ParticipantRole>(query, "role", PARTICIPANT_ROLES);
  const consent = choice<ConsentState>(query, "consent", CONSENT_STATES);
  const displayName = text(query, "name");
  return {
    callId: text(query, "call") ?? fallbackId,
    participantId: text(query, "participant") ?? fallbackId,
    ...(role === undefined ? {} : { role }),
    ...(consent === undefined ? {} : { consent }),
    ...(displayName === undefined ? {} : { displayName }),
  };
}

function text(query: URLSearchParams, name: string): string | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  // \p{C}: control, format, unassigned and surrogate code points.
  if (/^\P{C}{1,128}$/u.test(value)) return value;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be 1–128 printable characters, got ${quote(value)}`,
  );
}

function choice<T extends string>(query: URLSearchParams, name: string, values: readonly T[]): T | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be one of ${values.join(", ")}, got ${quote(value)}`,
  );
}

const quote = (value: string): string => JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
