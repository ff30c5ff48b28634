/** The media of a call of one leg: what it is agreed on, and whose it is. Signalling is sip-call.ts. */
import type { LineSignal } from "../../core/line-signal.ts";
import { AudioLeg, familyOf } from "./audio-leg.ts";
import type { CallMedia, CallMediaContext, MediaAnswer } from "./call-media.ts";
import { LocalDescription } from "./local-description.ts";
import { participantFromHeaders } from "./participant-headers.ts";
import { type RemoteAudio, readRemoteAudio, writeAnswer, writeOffer } from "./sdp.ts";
import type { SipBody } from "./sip-body.ts";
import type { Heard } from "./sip-call.ts";
import { sipCallInfo } from "./sip-call-info.ts";
import { nobody } from "./sip-info.ts";
import { type Refusal, refusal } from "./sip-request.ts";

export class MediaSession implements CallMedia {
  readonly featureTag = "";
  readonly requires: readonly string[] = [];
  readonly #context: CallMediaContext;
  readonly #onEnd: () => void;
  readonly #description: LocalDescription;
  #opening: Promise<void> | undefined;
  #leg: AudioLeg | undefined;
  #participantId: string | undefined;
  #closed = false;

  /** @param onEnd it has ended, by whatever side */
  constructor(context: CallMediaContext, onEnd: () => void) {
    this.#context = context;
    this.#onEnd = onEnd;
    this.#description = new LocalDescription(context.media.announcedHost);
  }

  get closed(): boolean {
    return this.#closed || this.#leg?.source.closed === true;
  }

  get latest(): string | undefined {
    return this.#description.latest;
  }

  async begin(invitation: Heard, { sdp }: SipBody): Promise<MediaAnswer | Refusal> {
    const { participantDefaults, onCall } = this.#context;
    const participant = participantFromHeaders(invitation.request, participantDefaults);
    if ("kind" in participant) return participant;
    const remote = sdp === undefined ? undefined : this.#read(sdp);
    if (remote !== undefined && "kind" in remote) return remote;
    const leg = await this.#open(invitation, remote?.rtcpMux ?? false);
    this.#participantId = participant.participantId;
    const answer = remote === undefined ? this.#offer(leg) : await this.#answer(leg, remote);
    if (this.#closed) await leg.source.close();
    else await onCall(leg.source, sipCallInfo(invitation, participant));
    return leg.source.closed ? refusal(480, "the call was closed before it was answered") : answer;
  }

  async renegotiate({ sdp }: SipBody): Promise<MediaAnswer | Refusal> {
    const leg = this.#leg;
    if (leg === undefined || this.closed) return refusal(481, "the call has ended");
    if (sdp === undefined) return this.#offer(leg);
    const remote = this.#read(sdp);
    return "kind" in remote ? remote : this.#answer(leg, remote);
  }

  /** There is nothing but SDP that would tell it anything. */
  async inform(): Promise<undefined> {
    return undefined;
  }

  signal(signal: LineSignal, participantId?: string): Refusal | undefined {
    const known = this.#participantId;
    if (participantId !== undefined && participantId !== known) return nobody(participantId);
    this.#leg?.source.line.tell(signal);
    return undefined;
  }

  takeAnswer({ sdp }: SipBody): boolean {
    const remote = sdp === undefined ? undefined : this.#read(sdp);
    return remote !== undefined && !("kind" in remote) && this.#leg?.answered(remote) === true;
  }

  confirmed({ sdp }: SipBody): void {
    const remote = sdp === undefined ? undefined : this.#read(sdp);
    if (remote !== undefined && !("kind" in remote)) this.#leg?.confirmed(remote);
  }

  expire(): void {
    void this.#leg?.source.expire();
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#leg?.source.close() ?? this.#closeWhenOpen();
  }

  /** A port that is being opened is closed, too. */
  async #closeWhenOpen(): Promise<void> {
    await this.#opening;
    await this.#leg?.source.close();
  }

  /** @throws TonetapError overloaded, unavailable when there is no port. */
  #open({ origin }: Heard, rtcpMux: boolean): Promise<AudioLeg> {
    const options = { rtcpMux, signallingHost: origin.host, onEnd: this.#onEnd };
    const opening = AudioLeg.open(this.#context.media, options);
    this.#opening = opening.then(
      (leg) => {
        this.#leg = leg;
      },
      () => undefined,
    );
    return opening;
  }

  #read(sdp: string): RemoteAudio | Refusal {
    const { media } = this.#context;
    const remote = readRemoteAudio(sdp, familyOf(media), media.srtp);
    return "kind" in remote ? remote : (this.#leg?.allows(remote) ?? remote);
  }

  async #answer(leg: AudioLeg, remote: RemoteAudio): Promise<MediaAnswer> {
    const local = await leg.answer(remote);
    return {
      sdp: this.#description.write((session) => writeAnswer(remote, { ...session, ...local })),
      answerDue: false,
    };
  }

  #offer(leg: AudioLeg): MediaAnswer {
    const local = leg.offer();
    return {
      sdp: this.#description.write((session) => writeOffer({ ...session, ...local })),
      answerDue: true,
    };
  }
}
