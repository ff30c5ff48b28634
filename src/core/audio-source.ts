/** The contract between a voice platform and the pipeline: one participant's audio, as RTP packets. */
import type { Observable } from "rxjs";
import type { Closable } from "./lifecycle.ts";
import type { LineSignal } from "./line-signal.ts";
import type { CodecMap, RtpPacket, SenderReport } from "./rtp.ts";
import type { WindowPriority } from "./window.ts";

/**
 * One participant's audio. Implement this to attach a platform of your own; `engine.attach(source, …)` does the rest.
 *
 * Contract:
 * - `packets` is subscribed once. It completes when the peer has left and errors when the transport failed;
 *   either ends this participant and nothing else. A subscription after the end ends at once.
 * - Neighbours in sequence are apart in time by what the first of them holds, in ticks of its codec's clock, or by more.
 * - `arrivalMs` is `clock.now()` of when the packet came.
 * - Packets may be late, lost, doubled or out of order: the jitter buffer expects that.
 * - A payload belongs to the receiver once emitted.
 * - `close()` is idempotent and makes `packets` complete; nothing is given after it.
 *
 * `checkAudioSource()` of `tonetap/conformance` tries all of it on a source of yours.
 */
export interface AudioSource extends Closable {
  /** Where it comes from, for events and logs: `rtp`, `whip`, `mediasoup`, `sip`, … */
  readonly kind: string;
  /** What each payload type means. Packets of other types are counted and ignored. */
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  /** RTCP sender reports, if the platform has them: they give events the sender's wall clock. */
  readonly senderReports?: Observable<SenderReport>;
  /**
   * What the line says beside audio, if the platform has such: consent, keys that were pressed. Keys that come as packets
   * of `audio/telephone-event` (RFC 4733) are read off {@link packets}.
   */
  readonly signals?: Observable<LineSignal>;
  /** Whether it ended because nothing came for too long: the peer did not say that it left. */
  readonly timedOut?: boolean;
  /**
   * Datagrams that became no packet, by reason, since the source began: `srtp-not-authentic`, `foreign`, `over-rate`, …
   * Reasons that did not occur are left out.
   */
  readonly refused?: Readonly<Record<string, number>>;
  /** Asks the peer to send these packets again (RFC 4585 generic NACK), if it can. */
  readonly requestRetransmission?: (sequences: readonly number[]) => void;
}

/** What a participant is to the call. The `eu` policy refuses `employee`, `agent` and `student`. */
export type ParticipantRole = "customer" | "guest" | "speaker" | "patient" | "employee" | "agent" | "student";

export const PARTICIPANT_ROLES = [
  "customer",
  "guest",
  "speaker",
  "patient",
  "employee",
  "agent",
  "student",
] as const satisfies readonly ParticipantRole[];

/** Whether this person agreed to be analysed. Analysis runs only while `granted`. */
export type ConsentState = "pending" | "granted" | "withdrawn";

export const CONSENT_STATES = ["pending", "granted", "withdrawn"] as const satisfies readonly ConsentState[];

/** Who is speaking in a source. */
export interface ParticipantInfo {
  /** 1–128 printable characters; participants with the same call id are in one call. */
  readonly callId: string;
  /** 1–128 printable characters, unique within its call. */
  readonly participantId: string;
  /** Default `guest`. */
  readonly role?: ParticipantRole;
  /** Default `pending`: analysis starts paused. */
  readonly consent?: ConsentState;
  /** Shown to people; never logged. */
  readonly displayName?: string;
  /**
   * Whose call it is, where several customers share the service: each gets its share of the model and sees its own calls
   * only. Its name becomes part of the call's id: see core/tenant.ts. 1–63 letters, digits or `-`.
   */
  readonly tenant?: string;
  /** Whose windows go first when the model is busy. Default `normal`. */
  readonly priority?: WindowPriority;
}
