/**
 * The metadata of a recording session (RFC 7865): reads one document, and keeps what a snapshot and the partial updates after
 * it say together. Whose voice a stream is, is voices.ts.
 *
 * Besides RFC 7865 it reads the drafts before it that Oracle's SBC speaks: `id` and `session` for `participant_id` and
 * `session_id`, `send` within `participant`, a namespace without `:1`.
 */
import {
  CONSENT_STATES,
  type ConsentState,
  PARTICIPANT_ROLES,
  type ParticipantRole,
} from "../../../core/audio-source.ts";
import { type Refusal, refusal } from "../sip-request.ts";
import { readXml, type XmlElement } from "./xml-tree.ts";

/** Namespace of `role` and `consent`, which a recorder of one's own may put into `participant`. */
export const TONETAP_NAMESPACE = "urn:tonetap:siprec:1";
const NAMESPACES: ReadonlySet<string> = new Set([
  "urn:ietf:params:xml:ns:recording:1",
  "urn:ietf:params:xml:ns:recording",
]);

/** People, and streams, of one recording. */
const MAX_PEOPLE = 64;
const MAX_STREAMS = 64;

/** Somebody in the communication session that is recorded. */
export interface RecordedPerson {
  /** `participant_id`. */
  readonly id: string;
  /** Address of record, such as `sip:bob@biloxi.example`; may be empty. */
  readonly aor: string;
  /** May be empty. */
  readonly name: string;
  /** From our namespace. */
  readonly role: ParticipantRole | undefined;
  readonly consent: ConsentState | undefined;
}

/** One document. */
export interface MetadataDocument {
  /** RFC 7865 §6.1: a snapshot of everything, or what has changed. */
  readonly complete: boolean;
  readonly sessionIds: readonly string[];
  readonly people: readonly RecordedPerson[];
  /** Stream id → label, which stands in the SDP as `a=label`. */
  readonly labels: ReadonlyMap<string, string>;
  /** Person → streams that carry its voice. Empty: none any more. */
  readonly sends: ReadonlyMap<string, ReadonlySet<string>>;
  /** People who have left a session. */
  readonly gone: ReadonlySet<string>;
}

/** Never throws. */
export function readMetadata(xml: string): MetadataDocument | Refusal {
  const root = readXml(xml);
  if (typeof root === "string") return refusal(400, `the metadata is no XML that is taken: ${root}`);
  if (root.name !== "recording" || !NAMESPACES.has(root.namespace)) {
    return refusal(400, "the metadata is no recording element of RFC 7865");
  }
  const people: RecordedPerson[] = [];
  const labels = new Map<string, string>();
  const sends = new Map<string, Set<string>>();
  const gone = new Set<string>();
  const sessionIds: string[] = [];
  for (const element of root.children) {
    if (element.namespace !== root.namespace) continue;
    switch (element.name) {
      case "session":
        sessionIds.push(idOf(element, "session_id"));
        break;
      case "participant": {
        const person = readPerson(element);
        if ("kind" in person) return person;
        people.push(person);
        if (childrenOf(element, "send").length > 0) addSends(sends, person.id, element);
        break;
      }
      case "stream": {
        const [label] = childrenOf(element, "label");
        if (label !== undefined) labels.set(idOf(element, "stream_id"), label.text);
        break;
      }
      case "participantstreamassoc":
        addSends(sends, idOf(element, "participant_id"), element);
        break;
      case "participantsessionassoc":
        if (hasEnded(element)) gone.add(idOf(element, "participant_id"));
        break;
      default:
        // Groups, times and what vendors add say nothing of whose voice is where.
        break;
    }
  }
  const complete = childrenOf(root, "datamode")[0]?.text.toLowerCase() !== "partial";
  return { complete, sessionIds, people, labels, sends, gone };
}

function readPerson(element: XmlElement): RecordedPerson | Refusal {
  const [nameId] = childrenOf(element, "nameID");
  const extensions = [element, ...element.children.filter(({ name }) => name === "extensiondata")].flatMap(
    ({ children }) => children.filter(({ namespace }) => namespace === TONETAP_NAMESPACE),
  );
  const role = choice<ParticipantRole>(extensions, "role", PARTICIPANT_ROLES);
  if (typeof role === "object") return role;
  const consent = choice<ConsentState>(extensions, "consent", CONSENT_STATES);
  if (typeof consent === "object") return consent;
  return {
    id: idOf(element, "participant_id"),
    aor: nameId?.attributes.get("aor") ?? "",
    // Oracle writes the quotes of the SIP header too.
    name: (childrenOf(nameId, "name")[0]?.text ?? "").replace(/^"(.*)"$/, "$1"),
    role,
    consent,
  };
}

/** A value out of range refuses the recording: a consent that was misspelt must not be guessed. */
function choice<T extends string>(
  extensions: readonly XmlElement[],
  name: string,
  values: readonly T[],
): T | Refusal | undefined {
  const element = extensions.find((extension) => extension.name === name);
  if (element === undefined) return undefined;
  return (
    values.find((value) => value === element.text.toLowerCase()) ??
    refusal(400, `${name} in the metadata must be one of ${values.join(", ")}`)
  );
}

function addSends(sends: Map<string, Set<string>>, person: string, element: XmlElement): void {
  const streams = sends.get(person) ?? new Set();
  sends.set(person, streams);
  if (hasEnded(element)) return;
  for (const { text } of childrenOf(element, "send")) if (text !== "") streams.add(text);
}

const hasEnded = (element: XmlElement): boolean => childrenOf(element, "disassociate-time").length > 0;

const idOf = ({ attributes }: XmlElement, name: string): string =>
  attributes.get(name) ?? attributes.get("id") ?? "";

const childrenOf = (element: XmlElement | undefined, name: string): readonly XmlElement[] =>
  element?.children.filter((child) => child.name === name && child.namespace === element.namespace) ?? [];

/** What is known of a recording. */
export class RecordingMetadata {
  #sessionId = "";
  #people: ReadonlyMap<string, RecordedPerson> = new Map();
  #labels: ReadonlyMap<string, string> = new Map();
  #sends: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  #saysWhoSends = false;

  /** Of the first session that was named; empty if none was. It stays, whatever session follows. */
  get sessionId(): string {
    return this.#sessionId;
  }

  /** Everybody in the session. */
  get people(): readonly RecordedPerson[] {
    return [...this.#people.values()];
  }

  /** Whether it has ever said whose streams are: then a stream that is nobody's carries nobody's voice. */
  get saysWhoSends(): boolean {
    return this.#saysWhoSends;
  }

  /**
   * Takes a document in: a snapshot replaces everything, an update what it names (RFC 7865 §6.1, RFC 7866 §9.1).
   * @returns why it cannot be taken; then nothing has changed
   */
  apply(document: MetadataDocument): Refusal | undefined {
    const people = new Map(document.complete ? [] : this.#people);
    const labels = new Map(document.complete ? [] : this.#labels);
    const sends = new Map(document.complete ? [] : this.#sends);
    for (const person of document.people) {
      const before = people.get(person.id);
      people.set(person.id, {
        ...person,
        role: person.role ?? before?.role,
        consent: person.consent ?? before?.consent,
      });
    }
    for (const [stream, label] of document.labels) labels.set(stream, label);
    for (const [person, streams] of document.sends) sends.set(person, streams);
    for (const id of document.gone) {
      people.delete(id);
      sends.delete(id);
    }
    if (people.size > MAX_PEOPLE)
      return refusal(400, `the metadata has more than ${MAX_PEOPLE} participants`);
    if (labels.size > MAX_STREAMS || sends.size > MAX_PEOPLE) {
      return refusal(400, `the metadata has more than ${MAX_STREAMS} streams`);
    }
    this.#people = people;
    this.#labels = labels;
    this.#sends = sends;
    this.#saysWhoSends ||= document.sends.size > 0;
    if (this.#sessionId === "") this.#sessionId = document.sessionIds[0] ?? "";
    return undefined;
  }

  /** Whose voices the stream of that label carries. */
  sendersOf(label: string): readonly RecordedPerson[] {
    const streams = [...this.#labels].filter(([, name]) => name === label).map(([stream]) => stream);
    return this.people.filter(({ id }) =>
      streams.some((stream) => this.#sends.get(id)?.has(stream) === true),
    );
  }
}
