/**
 * One call from its INVITE to its BYE (RFC 3261 §13–15): decides, agrees on media, ends when either side wants. Who may call
 * is for the server's owner to say; matching messages to calls is sip-server.ts.
 */
import type { Clock } from "../../core/clock.ts";
import { type ErrorCode, TonetapError } from "../../core/errors.ts";
import type { CallMedia, CallMediaContext, MediaAnswer } from "./call-media.ts";
import { MediaSession } from "./media-session.ts";
import type { InviteTransaction, RequestTransaction, SipPath } from "./server-transactions.ts";
import { SessionKeeper } from "./session-keeper.ts";
import {
  agreeOnSession,
  type SessionTerms,
  type SessionTimerSettings,
  sessionFields,
  tokensOf,
} from "./session-terms.ts";
import { bodyOf, type SipBody } from "./sip-body.ts";
import { type DialogRequest, SipDialog } from "./sip-dialog.ts";
import { CONSENT_PACKAGE, consentHeader, readInfo } from "./sip-info.ts";
import { headerOf, type SipResponse } from "./sip-message.ts";
import { type HeaderFields, type IncomingRequest, type Refusal, refusal } from "./sip-request.ts";
import { ACCEPT, ALLOW, createRefusal, createResponse, SUPPORTED, warningOf } from "./sip-response.ts";
import type { SipOrigin } from "./sip-transport.ts";
import { isRecording, RecordingSession } from "./siprec/recording-session.ts";

/** How long the owner may take to decide, ms. */
const DECIDE_MS = 32_000;
/** Seconds that a caller is asked to wait when there is no room. */
export const RETRY_AFTER_S = 5;

/** A request and how it reached us. */
export interface Heard {
  readonly request: IncomingRequest;
  readonly path: SipPath;
  readonly origin: SipOrigin;
  /** Whom its digest credentials prove. */
  readonly digestUser?: string;
}

/** An INVITE under way. */
export interface Invitation extends Heard {
  readonly transaction: InviteTransaction;
}

/** What a call needs of its server. */
export interface CallContext extends CallMediaContext {
  readonly clock: Clock;
  readonly session: SessionTimerSettings;
  /** Our Contact, for peers that came from there. */
  readonly contact: (origin: SipOrigin) => string;
  /** Sends a request to the peer; gives the final response, undefined when none came. Never rejects. */
  readonly ask: (dialog: SipDialog, last: Heard, request: DialogRequest) => Promise<SipResponse | undefined>;
  /** The call is over. Runs once. */
  readonly onEnd: () => void;
}

/** What a 2xx says. */
interface Agreement extends MediaAnswer {
  readonly session: SessionTerms | undefined;
}

const NO_MEDIA_CHANGE: MediaAnswer = { sdp: undefined, answerDue: false };

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
  readonly #media: CallMedia;
  /** `X-Tonetap-Consent` as it stood last. */
  #saidConsent: string | undefined;
  #answerDue = false;
  /** An offer of ours, in a re-INVITE, has no answer yet. */
  #offering = false;
  /** An offer of the peer's is being looked at. */
  #negotiating = false;
  readonly #keeper: SessionKeeper;
  #cancelDeadline: (() => void) | undefined;
  readonly #over = Promise.withResolvers<void>();

  /** @param localTag ours; unguessable. */
  constructor(context: CallContext, invitation: Invitation, localTag: string) {
    this.#context = context;
    this.#invitation = invitation;
    this.#last = invitation;
    this.#saidConsent = headerOf(invitation.request.message, "X-Tonetap-Consent")?.trim().toLowerCase();
    this.dialog = new SipDialog(invitation.request, localTag);
    const Media = isRecording(invitation.request) ? RecordingSession : MediaSession;
    this.#media = new Media(context, () => this.#leave());
    this.#keeper = new SessionKeeper({
      clock: context.clock,
      refresh: (fields) => this.#refresh(fields),
      // Whoever does not refresh has gone without a word.
      onExpired: () => this.#media.expire(),
    });
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
    if (this.#media.closed) this.#leave();
  }

  /** A re-INVITE: hold, another codec or address, or a mere refresh. What cannot be agreed to changes nothing. Never rejects. */
  async reinvite(invitation: Invitation): Promise<void> {
    const agreement = this.#hearConsent(invitation.request) ?? (await this.#renegotiate(invitation.request));
    if ("kind" in agreement) {
      invitation.transaction.refuse(this.#refusalResponse(invitation, agreement));
      return;
    }
    this.#hear(invitation);
    this.#invitation = invitation;
    this.#accept(invitation, agreement);
  }

  /** UPDATE (RFC 3311): as a re-INVITE, answered at once. Without SDP it only says where the peer is, and that it is. */
  async update(heard: Heard, transaction: RequestTransaction): Promise<void> {
    const agreement = this.#hearConsent(heard.request) ?? (await this.#renegotiate(heard.request));
    if ("kind" in agreement) {
      transaction.respond(this.#refusalResponse(heard, agreement));
      return;
    }
    this.#hear(heard);
    this.#keeper.agree(agreement.session);
    transaction.respond(this.#okResponse(heard, agreement));
  }

  /** INFO (RFC 6086): consent, or a key that was pressed. */
  info({ request }: Heard, transaction: RequestTransaction): void {
    const news = readInfo(request.message);
    const why =
      news === undefined || "kind" in news ? news : this.#media.signal(news.signal, news.participantId);
    transaction.respond(
      why === undefined
        ? createResponse(request.message, 200)
        : createRefusal(request.message, why, this.dialog.localTag),
    );
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
    else void this.#media.close();
  }

  /** Forgets the call without a word: there is no time left to say it. */
  abandon(): void {
    this.#finish();
  }

  async #prepare(): Promise<Agreement | Refusal> {
    const { message } = this.#invitation.request;
    const session = agreeOnSession(message, this.#context.session);
    if (session !== undefined && "kind" in session) return session;
    const body = bodyOf(message);
    if ("kind" in body) return body;
    const answer = await this.#media.begin(this.#invitation, body);
    return "kind" in answer ? answer : { ...answer, session };
  }

  /** What a later INVITE or UPDATE asks for. Never rejects. */
  async #renegotiate(request: IncomingRequest): Promise<Agreement | Refusal> {
    const body = bodyOf(request.message);
    if ("kind" in body) return body;
    const session = agreeOnSession(request.message, this.#context.session);
    if (session !== undefined && "kind" in session) return session;
    const plain = request.method === "UPDATE" && body.sdp === undefined;
    if (plain && body.metadata === undefined) return { ...NO_MEDIA_CHANGE, session };
    if (this.#media.closed) return refusal(481, "the call has ended");
    // RFC 3261 §14.2, RFC 3311 §5.2: one offer at a time. A 200 without its ACK may have one under way.
    if (!plain && this.#invitation.transaction.awaitsAck) {
      return refusal(491, "the last INVITE has had no ACK yet");
    }
    if (!plain && this.#offering) return refusal(491, "an INVITE of ours is under way");
    if (this.#negotiating) return refusal(491, "another offer is being looked at");
    this.#negotiating = true;
    try {
      const answer = await (plain ? this.#inform(body) : this.#media.renegotiate(body));
      // RFC 3261 §15.1.2: what was still to be answered when the BYE came.
      if (this.#isOver()) return refusal(487, "the call has ended");
      return "kind" in answer ? answer : { ...answer, session };
    } catch (error) {
      const failure = TonetapError.from(error);
      if (failure.code === "internal") this.#context.onError(failure);
      return refusalOf(failure);
    } finally {
      this.#negotiating = false;
    }
  }

  /** What a header field says again is no news: each request of a dialog may bear it. */
  #hearConsent({ message }: IncomingRequest): Refusal | undefined {
    const consent = consentHeader(message);
    if (typeof consent === "object") return consent;
    if (consent === undefined || consent === this.#saidConsent) return undefined;
    this.#saidConsent = consent;
    return this.#media.signal({ kind: "consent", consent, by: "SIP header", nature: "repeated" });
  }

  async #inform(body: SipBody): Promise<MediaAnswer | Refusal> {
    return (await this.#media.inform(body)) ?? NO_MEDIA_CHANGE;
  }

  /** A sign of life of ours (RFC 4028 §7.4): UPDATE where the peer knows it, else a re-INVITE that changes nothing. */
  async #refresh(terms: HeaderFields): Promise<SipResponse | undefined> {
    const { ask } = this.#context;
    const fields = { Contact: this.#contact(this.#last.origin), Allow: ALLOW, ...terms };
    if (tokensOf(this.#last.request.message, "Allow").has("update")) {
      return ask(this.dialog, this.#last, { method: "UPDATE", fields });
    }
    this.#offering = true;
    const body = this.#media.latest;
    const response = await ask(this.dialog, this.#last, { method: "INVITE", fields, body });
    this.#offering = false;
    const answer = response !== undefined && response.status < 300 ? bodyOf(response) : {};
    if (!("kind" in answer)) this.#media.confirmed(answer);
    return response;
  }

  /** The answer to an offer of ours. One that cannot be agreed to leaves a call without media: it ends. */
  #takeAnswer(ack: IncomingRequest): void {
    this.#answerDue = false;
    const body = bodyOf(ack.message);
    if ("kind" in body || !this.#media.takeAnswer(body)) this.hangUp();
  }

  #hear(heard: Heard): void {
    this.#last = heard;
    this.dialog.refreshTarget(heard.request);
  }

  #accept(invitation: Invitation, agreement: Agreement): void {
    this.#answerDue = agreement.answerDue;
    this.#keeper.agree(agreement.session);
    invitation.transaction.accept(this.#okResponse(invitation, agreement), {
      onUnacknowledged: () => {
        if (this.#state === "accepted") this.#state = "established";
        this.#leave();
      },
    });
  }

  #okResponse({ request, origin }: Heard, { sdp, session, warnings = [] }: Agreement): SipResponse {
    const { Require: timer = [], ...timing } = sessionFields(session);
    const required = [timer, this.#media.requires].flat();
    return createResponse(request.message, 200, {
      toTag: this.dialog.localTag,
      headers: {
        Contact: this.#contact(origin),
        Allow: ALLOW,
        Accept: ACCEPT,
        Supported: SUPPORTED,
        "Recv-Info": CONSENT_PACKAGE,
        ...timing,
        ...(required.length === 0 ? {} : { Require: required.join(", ") }),
        Warning: warnings.map((text) => warningOf(text)),
      },
      ...(sdp === undefined ? {} : { body: sdp }),
    });
  }

  #contact(origin: SipOrigin): string {
    return this.#context.contact(origin) + this.#media.featureTag;
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
    this.#keeper.close();
    void this.#media.close();
    void this.#context.ask(this.dialog, this.#last, { method: "BYE" }).then(() => this.#finish());
  }

  #finish(): void {
    if (this.#isOver()) return;
    this.#state = "over";
    this.#keeper.close();
    this.#cancelDeadline?.();
    const closed = this.#media.close();
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
  unauthenticated: 403,
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
