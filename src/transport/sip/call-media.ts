/** What the signalling of a call needs of its media: one leg is media-session.ts, a recording of several streams is siprec. */
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { TonetapError } from "../../core/errors.ts";
import type { LineSignal } from "../../core/line-signal.ts";
import type { MediaSettings } from "./audio-leg.ts";
import type { ParticipantDefaults } from "./participant-headers.ts";
import type { SipBody } from "./sip-body.ts";
import type { Heard } from "./sip-call.ts";
import type { SipCallInfo } from "./sip-call-info.ts";
import type { Refusal } from "./sip-request.ts";
import type { RoleRules } from "./siprec/role-rules.ts";

/** What media needs of its server, and whom it tells. */
export interface CallMediaContext {
  readonly media: MediaSettings;
  readonly participantDefaults: ParticipantDefaults;
  readonly recordingRoles: RoleRules;
  readonly onCall: (source: AudioSource, call: SipCallInfo) => unknown;
  /** The metadata of a recording says another consent. */
  readonly onConsent: (participant: ParticipantInfo) => unknown;
  /** Hears of what went wrong on our side. */
  readonly onError: (error: TonetapError) => void;
}

/** What a 2xx says of the media. */
export interface MediaAnswer {
  readonly sdp: string | undefined;
  /** The SDP is our offer: the ACK must bring the answer. */
  readonly answerDue: boolean;
  /** What the peer should know of it, for people; goes into Warning header fields. */
  readonly warnings?: readonly string[];
}

export interface CallMedia {
  /** It has ended, by whatever side. */
  readonly closed: boolean;
  /** Media feature tag in our Contact (RFC 3840), with its semicolon; empty: none. */
  readonly featureTag: string;
  /** Extensions that a 2xx requires of the peer. */
  readonly requires: readonly string[];
  /** What we said last, as SDP; undefined before. */
  readonly latest: string | undefined;
  /**
   * Opens it and gives it to the server's owner. Runs once.
   * @throws TonetapError what the owner refuses by; overloaded, unavailable when there is no port
   */
  begin(invitation: Heard, body: SipBody): Promise<MediaAnswer | Refusal>;
  /** A later INVITE, or an UPDATE with an offer. What is refused changes nothing. */
  renegotiate(body: SipBody): Promise<MediaAnswer | Refusal>;
  /** An UPDATE without an offer. */
  inform(body: SipBody): Promise<Refusal | undefined>;
  /**
   * The peer says something of consent, or presses a key.
   * @param participantId whose line it is; undefined: of a call with one voice that one's; else a withdrawal is everybody's
   */
  signal(signal: LineSignal, participantId?: string): Refusal | undefined;
  /** The answer to an offer of ours; false if it is none that can be agreed to. */
  takeAnswer(body: SipBody): boolean;
  /** The peer has answered {@link latest}. */
  confirmed(body: SipBody): void;
  /** Closes it because the peer has gone without a word. */
  expire(): void;
  close(): Promise<void>;
}
