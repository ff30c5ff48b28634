/**
 * One call from its INVITE to its BYE (RFC 3261 §13–15): decides, agrees on media, ends when either side wants. Who may call
 * is for the server's owner to say; matching messages to calls is sip-server.ts.
 */
import type { AudioSource } from "../../core/audio-source.ts";
import type { Clock } from "../../core/clock.ts";
import { type ErrorCode, TonetapError } from "../../core/errors.ts";
import { MediaSession, type MediaSettings } from "./media-session.ts";
import { participantFromHeaders } from "./participant-headers.ts";
import type { InviteTransaction, RequestTransaction, SipPath } from "./server-transactions.ts";
import { sdpOf } from "./sip-body.ts";
import { type SipCallInfo, sipCallInfo } from "./sip-call-info.ts";
import { SipDialog } from "./sip-dialog.ts";
import type { SipResponse } from "./sip-message.ts";
import { type IncomingRequest, type Refusal, refusal } from "./sip-request.ts";
import { ALLOW, createRefusal, createResponse, SDP_TYPE } from "./sip-response.ts";
import type { SipOrigin } from "./sip-transport.ts";

/** How long the owner may take to decide, ms. */
const DECIDE_MS = 32_000;
/** Seconds that a caller is asked to wait when there is no room. */
export const RETRY_AFTER_S = 5;

/** A request and how it reached us. */
export interface Heard {
  readonly request: IncomingRequest;
  readonly path: SipPath;
  readonly origin: SipOrigin;
}

/** An INVITE under way. */
export interface Invitation extends Heard {
  readonly transaction: InviteTransaction;
}

/** What a call needs of its server. */
export interface CallContext {
  readonly clock: Clock;
  readonly media: MediaSettings;
  readonly onCall: (source: AudioSource, call: SipCallInfo) => unknown;
  /** Our Contact, for peers that came from there. */
  readonly contact: (origin: SipOrigin) => string;
  /** Says BYE; resolves when it is answered or given up. Never rejects. */
  readonly sayBye: (dialog: SipDialog, last: Heard) => Promise<void>;
  /** Hears of what went wrong on our side. */
  readonly onError: (error: TonetapError) => void;
  /** The call is over. Runs once. */
  readonly onEnd: () => void;
}

/** What a 2xx says of the media. */
interface Agreement {
  readonly sdp: string;
  /** It is our offer: the ACK must bring the answer. */
  readonly answerDue: boolean;
}

export class SipCall {
  readonly dialog: SipDialog;
  readonly #context: CallContext;
  /**
   * - `deciding`: no final answer yet. - `accepted`: 200 sent, ACK awaited. - `established`. - `leaving`: our BYE is under
   * way. - `over`.
   */
  #state: "deciding" | "accepted" | "established" | "leaving" | "over" = "deciding";
  /** The latest INVITE: the call's own, or a re-INVITE. */
  #invitation: Invitation;
  /** The latest request: it shows where the peer is. */
  #last: Heard;
  #media: MediaSession | undefined;
  #answerDue = false;
  #cancelDeadline: (() => void) | undefined;
  readonly #over = Promise.withResolvers<void>();

  /** @param localTag ours; unguessable. */
  constructor(context: CallContext, invitation: Invitation, localTag: string) {
    this.#context = context;
    this.#invitation = invitation;
    this.#last = invitation;
    this.dialog = new SipDialog(invitation.request, localTag);
  }

  /** Resolves when the peer has been told, has told us, or could not be reached. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Decides on the first INVITE. Never rejects. */
  async decide(): Promise<void> {
    this.#cancelDeadline = this.#context.clock.schedule(DECIDE_MS, () =>
      this.#refuse(refusal(504, "nobody decided on this call in time")),
    );
    try {
      const agreement = await this.#prepare();
      if ("kind" in agreement) this.#refuse(agreement);
      else if (this.#state === "deciding") {
        this.#state = "accepted";
        this.#cancelDeadline();
        this.#accept(this.#invitation, agreement);
      }
    } catch (error) {
      const failure = TonetapError.from(error);
      if (failure.code === "internal") this.#context.onError(failure);
      this.#refuse(refusalOf(failure));
    }
  }

  /** The caller has changed its mind. RFC 3261 §9.2: once it is decided, that has no effect. */
  cancel(): void {
    this.#refuse(refusal(487, "cancelled by the caller"));
  }

  /** An ACK: of a 200 if it bears the number of the latest INVITE. */
  acknowledged(request: IncomingRequest): void {
    const { transaction, request: invite } = this.#invitation;
    if (request.cseq !== invite.cseq || !transaction.awaitsAck) return;
    transaction.acknowledge();
    if (this.#state === "accepted") this.#state = "established";
    if (this.#answerDue) this.#takeAnswer(request);
    if (this.#media?.source.closed === true) this.#leave();
  }

  /** A re-INVITE: hold, another codec or address, or a mere refresh. What cannot be agreed to changes nothing. */
  reinvite(invitation: Invitation): void {
    const agreement = this.#renegotiate(invitation.request);
    if ("kind" in agreement) {
      invitation.transaction.refuse(this.#refusalResponse(invitation, agreement));
      return;
    }
    this.#hear(invitation);
    this.#invitation = invitation;
    this.#accept(invitation, agreement);
  }

  /** UPDATE (RFC 3311): as a re-INVITE, answered at once. Without SDP it only says where the peer is. */
  update(heard: Heard, transaction: RequestTransaction): void {
    const hasOffer = heard.request.message.body.length > 0;
    const agreement = hasOffer ? this.#renegotiate(heard.request) : undefined;
    if (agreement !== undefined && "kind" in agreement) {
      transaction.respond(this.#refusalResponse(heard, agreement));
      return;
    }
    this.#hear(heard);
    transaction.respond(this.#okResponse(heard, agreement?.sdp));
  }

  /** The peer says BYE. */
  bye(heard: Heard, transaction: RequestTransaction): void {
    transaction.respond(createResponse(heard.request.message, 200));
    // Whoever says BYE has had our 200, whatever became of the ACK.
    this.#invitation.transaction.acknowledge();
    this.#finish();
  }

  /** Ends the call from our side: refuses it, or says BYE. RFC 3261 §15: not before the ACK, or its time, has come. */
  hangUp(): void {
    if (this.#state === "deciding") this.#refuse(refusal(480, "the call was closed"));
    else void this.#media?.source.close();
  }

  /** Forgets the call without a word: there is no time left to say it. */
  abandon(): void {
    this.#finish();
  }

  async #prepare(): Promise<Agreement | Refusal> {
    const { request, origin } = this.#invitation;
    const { media: settings } = this.#context;
    const participant = participantFromHeaders(request);
    if ("kind" in participant) return participant;
    const sdp = sdpOf(request.message);
    if (typeof sdp === "object") return sdp;
    const remote = sdp === undefined ? undefined : MediaSession.read(settings, sdp);
    if (remote !== undefined && "kind" in remote) return remote;
    const onSourceEnd = (): void => this.#leave();
    const media = await MediaSession.open(settings, remote?.rtcpMux ?? false, origin.host, onSourceEnd);
    this.#media = media;
    const agreement: Agreement =
      remote === undefined
        ? { sdp: media.offer(), answerDue: true }
        : { sdp: media.answer(remote), answerDue: false };
    if (this.#isOver()) await media.source.close();
    else await this.#context.onCall(media.source, sipCallInfo(request, participant, origin));
    if (media.source.closed) return refusal(480, "the call was closed before it was answered");
    return agreement;
  }

  #renegotiate(request: IncomingRequest): Agreement | Refusal {
    const media = this.#media;
    if (media === undefined || media.source.closed) return refusal(481, "the call has ended");
    // RFC 3261 §14.2, RFC 3311 §5.2: one offer at a time. A 200 without its ACK may have one under way.
    if (this.#invitation.transaction.awaitsAck) return refusal(491, "the last INVITE has had no ACK yet");
    const sdp = sdpOf(request.message);
    if (typeof sdp === "object") return sdp;
    if (sdp === undefined) return { sdp: media.offer(), answerDue: true };
    const remote = MediaSession.read(this.#context.media, sdp);
    return "kind" in remote ? remote : { sdp: media.answer(remote), answerDue: false };
  }

  /** The answer to an offer of ours. One that cannot be agreed to leaves a call without media: it ends. */
  #takeAnswer(ack: IncomingRequest): void {
    this.#answerDue = false;
    const sdp = sdpOf(ack.message);
    const remote = typeof sdp === "string" ? MediaSession.read(this.#context.media, sdp) : undefined;
    if (remote === undefined || "kind" in remote) this.hangUp();
    else this.#media?.answered(remote);
  }

  #hear(heard: Heard): void {
    this.#last = heard;
    this.dialog.refreshTarget(heard.request);
  }

  #accept(invitation: Invitation, { sdp, answerDue }: Agreement): void {
    this.#answerDue = answerDue;
    invitation.transaction.accept(this.#okResponse(invitation, sdp), {
      onUnacknowledged: () => {
        if (this.#state === "accepted") this.#state = "established";
        this.#leave();
      },
    });
  }

  #okResponse({ request, origin }: Heard, sdp: string | undefined): SipResponse {
    return createResponse(request.message, 200, {
      toTag: this.dialog.localTag,
      headers: { Contact: this.#context.contact(origin), Allow: ALLOW, Accept: SDP_TYPE },
      ...(sdp === undefined ? {} : { body: sdp }),
    });
  }

  #refusalResponse({ request }: Heard, why: Refusal): SipResponse {
    return createRefusal(request.message, why, this.dialog.localTag);
  }

  #refuse(why: Refusal): void {
    if (this.#state !== "deciding") return;
    this.#invitation.transaction.refuse(this.#refusalResponse(this.#invitation, why));
    this.#finish();
  }

  /** Our side is done with the call: tells the peer when it may be told. */
  #leave(): void {
    if (this.#state !== "established") return;
    this.#state = "leaving";
    void this.#media?.source.close();
    void this.#context.sayBye(this.dialog, this.#last).then(() => this.#finish());
  }

  #finish(): void {
    if (this.#isOver()) return;
    this.#state = "over";
    this.#cancelDeadline?.();
    const closed = this.#media?.source.close() ?? Promise.resolve();
    this.#context.onEnd();
    void closed.finally(() => this.#over.resolve());
  }

  /** A method, because the state changes behind an await. */
  #isOver(): boolean {
    return this.#state === "over";
  }
}

const STATUS: Readonly<Record<ErrorCode, number>> = {
  "invalid-argument": 400,
  protocol: 400,
  media: 488,
  policy: 403,
  "not-found": 404,
  conflict: 486,
  overloaded: 503,
  unavailable: 503,
  closed: 503,
  timeout: 504,
  internal: 500,
};

/** What the caller is told of an error. */
function refusalOf(error: TonetapError): Refusal {
  // A defect's text is for our logs, not for the network.
  if (error.code === "internal") return refusal(500, "internal error");
  const status = STATUS[error.code];
  return refusal(status, error.message, status === 503 ? { "Retry-After": String(RETRY_AFTER_S) } : {});
}
