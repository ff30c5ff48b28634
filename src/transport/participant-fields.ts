/** What a parameter that says who is speaking may hold, whichever way it came. Its names are those of who reads it. */
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "../core/audio-source.ts";
import { TonetapError } from "../core/errors.ts";

export const PARTICIPANT_FIELDS = ["call", "participant", "role", "consent", "name"] as const;
export type ParticipantField = (typeof PARTICIPANT_FIELDS)[number];

/** What a participant may be called: 1–128 printable characters. */
export const isPrintable = (value: string): boolean =>
  // \p{C}: control, format, unassigned and surrogate code points.
  /^\P{C}{1,128}$/u.test(value);

/** @throws TonetapError invalid-argument naming the parameter, its range and what came. */
export function printable(name: string, value: string | undefined): string | undefined {
  if (value === undefined || isPrintable(value)) return value;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be 1–128 printable characters, got ${quote(value)}`,
  );
}

/** @throws TonetapError invalid-argument naming the parameter, its values and what came. */
export function oneOf<T extends string>(
  name: string,
  value: string | undefined,
  values: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be one of ${values.join(", ")}, got ${quote(value)}`,
  );
}

/** What counts where a parameter says nothing. */
export interface ParticipantFallback {
  readonly callId: string;
  readonly participantId: string;
  readonly role?: ParticipantRole;
  readonly displayName?: string;
}

/**
 * Who it is, from parameters `call`, `participant`, `role`, `consent` and `name`; role and consent are left out where nobody
 * says them, and the engine's defaults apply.
 * @param field a parameter as its sender calls it, and its value
 * @throws TonetapError invalid-argument naming the parameter, its range and what came.
 */
export function participantFromFields(
  field: (name: ParticipantField) => readonly [name: string, value: string | undefined],
  fallback: ParticipantFallback,
): ParticipantInfo {
  const role = oneOf<ParticipantRole>(...field("role"), PARTICIPANT_ROLES) ?? fallback.role;
  const consent = oneOf<ConsentState>(...field("consent"), CONSENT_STATES);
  const displayName = printable(...field("name")) ?? fallback.displayName;
  return {
    callId: printable(...field("call")) ?? fallback.callId,
    participantId: printable(...field("participant")) ?? fallback.participantId,
    ...(role === undefined ? {} : { role }),
    ...(consent === undefined ? {} : { consent }),
    ...(displayName === undefined ? {} : { displayName }),
  };
}

/** As much of it as an error may repeat. */
export const quote = (value: string): string =>
  JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
