/** Whose voice each stream of a recording is: one person's, several mixed, or nobody's that is named. No I/O. */
import type { ConsentState, ParticipantInfo, ParticipantRole } from "../../../core/audio-source.ts";
import { fitting } from "../participant-headers.ts";
import type { RecordedPerson, RecordingMetadata } from "./recording-metadata.ts";
import type { RoleRules } from "./role-rules.ts";

/** What the owner of a server is told of one stream of a recording (RFC 7866). */
export interface RecordedVoice {
  /** `a=label` of its stream; empty if it has none. */
  readonly label: string;
  /** `session_id` of the communication session; empty if the metadata names none. */
  readonly sessionId: string;
  /** Who speaks in it; empty if the metadata does not say. */
  readonly people: readonly RecordedPerson[];
  /** Several people's voices in one stream: they are taken as one participant. */
  readonly mixed: boolean;
}

/** A voice and what it is to be called. */
export interface NamedVoice {
  readonly recorded: RecordedVoice;
  readonly participant: ParticipantInfo;
}

/** What the INVITE's header fields and the owner's rules say. */
export interface NamingTerms {
  readonly callId: string;
  /** `X-Tonetap-Participant`: of use where there is one stream. */
  readonly participantId: string | undefined;
  readonly role: ParticipantRole;
  readonly consent: ConsentState;
  readonly rules: RoleRules;
}

/** Whom a law protects it protects in a mix, too: the first of these that is in it counts. */
const PROTECTED: readonly ParticipantRole[] = ["employee", "agent", "student"];

/** Who speaks in the stream of that label, of `streams` streams. */
export function peopleIn(
  metadata: RecordingMetadata,
  label: string,
  streams: number,
): readonly RecordedPerson[] {
  const senders = metadata.sendersOf(label);
  // One stream and nobody's: everybody's.
  return senders.length === 0 && streams === 1 && !metadata.saysWhoSends ? metadata.people : senders;
}

/** @param taken ids that others in this recording have */
export function nameVoice(
  recorded: RecordedVoice,
  terms: NamingTerms,
  taken: ReadonlySet<string>,
): NamedVoice {
  const { people, label } = recorded;
  const suffix = label === "" ? "" : `-${label}`;
  const [only] = people;
  const names =
    only === undefined
      ? [`stream${suffix}`]
      : recorded.mixed
        ? ["mixed", `mixed${suffix}`]
        : [userOf(only.aor), only.aor.replace(/^sips?:/i, ""), only.id, `${userOf(only.aor)}${suffix}`];
  const wished = [...(terms.participantId === undefined ? [] : [terms.participantId]), ...names]
    .filter((name) => name !== "")
    .map(fitting);
  let participantId = wished.find((name) => !taken.has(name));
  for (let number = 2; participantId === undefined; number++) {
    const name = `stream${suffix}-${number}`;
    if (!taken.has(name)) participantId = fitting(name);
  }
  const displayName = people
    .map(({ name }) => name.replace(/\p{C}/gu, ""))
    .filter((name) => name !== "")
    .join(", ")
    .slice(0, recorded.mixed ? 120 : 128);
  return {
    recorded,
    participant: {
      callId: terms.callId,
      participantId,
      role: roleOf(people, terms),
      consent: consentOf(people, terms),
      ...(displayName === "" ? {} : { displayName: recorded.mixed ? `${displayName} (mixed)` : displayName }),
    },
  };
}

/** The owner's rule goes before what the peer says: nobody is made a customer by a recorder. */
function roleOf(people: readonly RecordedPerson[], { rules, role }: NamingTerms): ParticipantRole {
  const roles = people.map((person) => rules.roleOf(person.aor) ?? person.role ?? role);
  const guarded = PROTECTED.find((candidate) => roles.includes(candidate));
  const [first = role] = roles;
  return guarded ?? (roles.every((other) => other === first) ? first : "speaker");
}

/** A mix is analysed when all have agreed. */
export function consentOf(
  people: readonly RecordedPerson[],
  { consent }: Pick<NamingTerms, "consent">,
): ConsentState {
  const states = people.map((person) => person.consent ?? consent);
  if (states.includes("withdrawn")) return "withdrawn";
  return states.includes("pending") ? "pending" : (states[0] ?? consent);
}

const userOf = (aor: string): string => aor.replace(/^[a-z]+:/i, "").replace(/[@;?].*$/, "");
