/** Which bodies are read: SDP, and nothing that is needed but not understood (RFC 3261 §8.2.3). */
import { asUtf8, headerOf, latin1, type SipMessage } from "./sip-message.ts";
import { type Refusal, refusal } from "./sip-request.ts";
import { SDP_TYPE } from "./sip-response.ts";

/** @returns the SDP, undefined if there is none, or why the body cannot be taken. */
export function sdpOf(message: SipMessage): string | Refusal | undefined {
  if (message.body.length === 0) return undefined;
  const type = firstToken(headerOf(message, "Content-Type") ?? SDP_TYPE);
  const optional = /;\s*handling\s*=\s*optional/i.test(headerOf(message, "Content-Disposition") ?? "");
  if (type !== SDP_TYPE) {
    if (optional) return undefined;
    return refusal(415, `a body of ${type} is not taken`, { Accept: SDP_TYPE });
  }
  const encoding = firstToken(headerOf(message, "Content-Encoding") ?? "identity");
  if (encoding !== "identity") {
    return refusal(415, `an encoding of ${encoding} is not taken`, { "Accept-Encoding": "identity" });
  }
  return asUtf8(latin1(message.body));
}

const firstToken = (value: string): string => (/^[^\s;,]+/.exec(value)?.[0] ?? "").toLowerCase();
