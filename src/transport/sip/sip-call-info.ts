/** What the owner of a SIP server is told of a call: who, to whom, from where. */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import type { Heard } from "./sip-call.ts";
import type { NameAddr } from "./sip-header.ts";
import { asUtf8 } from "./sip-message.ts";
import type { SipOrigin } from "./sip-transport.ts";
import type { RecordedVoice } from "./siprec/voices.ts";

export interface SipAddress {
  /** As it came, such as `sip:+4930123@pbx.example;user=phone`. */
  readonly uri: string;
  /** User part, unescaped, or the number of a tel: URI; may be empty. */
  readonly user: string;
  /** May be empty. */
  readonly displayName: string;
}

export interface SipCallInfo {
  /** SIP's own Call-ID; the call that events speak of is `participant.callId`. */
  readonly callId: string;
  readonly from: SipAddress;
  readonly to: SipAddress;
  /** From the X-Tonetap headers or a recording's metadata, with defaults: see docs/sip.md, docs/siprec.md. */
  readonly participant: ParticipantInfo;
  /** All header fields of the INVITE by lower-case long name, values in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** Where the INVITE came from: a proxy perhaps. */
  readonly origin: SipOrigin;
  /** Whom the caller proved to be, where digest credentials are asked for. */
  readonly digestUser?: string;
  /** Of a recording session (SIPREC): which of its streams, and who speaks in it. */
  readonly recorded?: RecordedVoice;
}

export function sipCallInfo(
  { request, origin, digestUser }: Heard,
  participant: ParticipantInfo,
  recorded?: RecordedVoice,
): SipCallInfo {
  const headers = new Map<string, string[]>();
  for (const { name, value } of request.message.headers) {
    const key = name.toLowerCase();
    const values = headers.get(key);
    if (values === undefined) headers.set(key, [asUtf8(value)]);
    else values.push(asUtf8(value));
  }
  const { callId } = request;
  return {
    callId,
    from: addressOf(request.from),
    to: addressOf(request.to),
    participant,
    headers,
    origin,
    ...(digestUser === undefined ? {} : { digestUser }),
    ...(recorded === undefined ? {} : { recorded }),
  };
}

const addressOf = ({ uri, displayName }: NameAddr): SipAddress => ({
  uri: uri.text,
  user: uri.user,
  displayName,
});
