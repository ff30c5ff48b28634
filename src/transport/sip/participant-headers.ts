/** Who is speaking, from the header fields of an INVITE: `X-Tonetap-Call`, `-Participant`, `-Role`, `-Consent`. */
import { createHash } from "node:crypto";
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "../../core/audio-source.ts";
import { asUtf8, headerOf, headersOf, type SipRequest } from "./sip-message.ts";
import { type IncomingRequest, type Refusal, refusal } from "./sip-request.ts";

const NAMES = ["X-Tonetap-Call", "X-Tonetap-Participant", "X-Tonetap-Role", "X-Tonetap-Consent"] as const;
const PRINTABLE = /^\P{C}{1,128}$/u;

/** What counts where an INVITE says nothing. */
export interface ParticipantDefaults {
  readonly role: ParticipantRole;
  readonly consent: ConsentState;
}

/**
 * Without them: the SIP Call-ID, the user part of From, and the defaults. The name is that of From.
 * A value that is out of range refuses the call (400): a consent that was misspelt must not be guessed.
 */
export function participantFromHeaders(
  request: IncomingRequest,
  defaults: ParticipantDefaults,
): ParticipantInfo | Refusal {
  const { message, callId, from } = request;
  for (const name of NAMES) {
    // A caller may have put one there before a proxy that we trust added its own.
    if (headersOf(message, name).length > 1) return refusal(400, `${name} stands there more than once`);
  }
  const call = text(message, "X-Tonetap-Call") ?? fitting(callId);
  if (typeof call === "object") return call;
  const fallback = from.uri.user === "" ? from.uri.host : from.uri.user;
  const participantId = text(message, "X-Tonetap-Participant") ?? fitting(fallback);
  if (typeof participantId === "object") return participantId;
  const role = choice<ParticipantRole>(message, "X-Tonetap-Role", PARTICIPANT_ROLES) ?? defaults.role;
  if (typeof role === "object") return role;
  const consent = choice<ConsentState>(message, "X-Tonetap-Consent", CONSENT_STATES) ?? defaults.consent;
  if (typeof consent === "object") return consent;
  const displayName = from.displayName.replace(/\p{C}/gu, "").slice(0, 128);
  return {
    callId: call,
    participantId,
    role,
    consent,
    ...(displayName === "" ? {} : { displayName }),
  };
}

/** What SIP named is taken as it is if it can be an id of ours; else a digest of it, the same each time. */
export function fitting(name: string): string {
  return PRINTABLE.test(name) ? name : `sip-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
}

function text(message: SipRequest, name: string): string | Refusal | undefined {
  const raw = headerOf(message, name);
  if (raw === undefined) return undefined;
  const value = asUtf8(raw);
  return PRINTABLE.test(value) ? value : refusal(400, `${name} must be 1-128 printable characters`);
}

function choice<T extends string>(
  message: SipRequest,
  name: string,
  values: readonly T[],
): T | Refusal | undefined {
  const value = headerOf(message, name);
  if (value === undefined) return undefined;
  return (
    values.find((candidate) => candidate === value.toLowerCase()) ??
    refusal(400, `${name} must be one of ${values.join(", ")}`)
  );
}
