/** Session timers (RFC 4028): what a request asks, what we agree to, what the response says of it. Running them is session-keeper.ts. */

import { splitList } from "./sip-header.ts";
import { headerOf, headersOf, type SipMessage, type SipRequest } from "./sip-message.ts";
import { type HeaderFields, type Refusal, refusal } from "./sip-request.ts";

/** RFC 4028 §4: no session interval is shorter, s. */
export const SHORTEST_SESSION_S = 90;

export interface SessionTimerSettings {
  /** Interval that we ask for where the peer has none, and the longest that we agree to, s. */
  readonly sessionExpiresS: number;
  /** Shortest interval that we agree to, s. */
  readonly minSessionExpiresS: number;
}

/** An agreed session interval. */
export interface SessionTerms {
  readonly seconds: number;
  /** Who sends the next re-INVITE or UPDATE as a sign of life. */
  readonly refresher: "us" | "peer";
  /** The peer knows of session timers; if not, a proxy asked in its name. */
  readonly peerSupports: boolean;
}

/** Undefined: no session timer. A refusal is 400 or 422. */
export function agreeOnSession(
  message: SipRequest,
  { sessionExpiresS, minSessionExpiresS }: SessionTimerSettings,
): SessionTerms | Refusal | undefined {
  const peerSupports =
    tokensOf(message, "Supported").has("timer") || tokensOf(message, "Require").has("timer");
  const asked = readSessionExpires(message);
  const minSe = headerOf(message, "Min-SE");
  const shortest = minSe === undefined ? SHORTEST_SESSION_S : deltaSeconds(minSe);
  if (asked === "unreadable") return refusal(400, "Session-Expires is unreadable");
  if (shortest === undefined) return refusal(400, "Min-SE is unreadable");
  const longest = Math.max(sessionExpiresS, shortest);
  if (asked === undefined) {
    return peerSupports ? { seconds: longest, refresher: "peer", peerSupports } : undefined;
  }
  // RFC 4028 §9: who knows nothing of timers would not understand 422; what no timer may be is refused all the same.
  const least = peerSupports ? minSessionExpiresS : SHORTEST_SESSION_S;
  if (asked.seconds < least) {
    return refusal(422, `Session-Expires must be at least ${least}`, { "Min-SE": String(least) });
  }
  // RFC 4028 §9, table 2.
  const refresher = !peerSupports || asked.refresher === "uas" ? "us" : "peer";
  return { seconds: Math.min(asked.seconds, longest), refresher, peerSupports };
}

/** Header fields of the 2xx that agrees. */
export function sessionFields(terms: SessionTerms | undefined): HeaderFields {
  if (terms === undefined) return {};
  const { seconds, refresher, peerSupports } = terms;
  return {
    "Session-Expires": `${seconds};refresher=${refresher === "us" ? "uas" : "uac"}`,
    ...(peerSupports ? { Require: "timer" } : {}),
  };
}

/** `1800;refresher=uac`. RFC 4028 §4. */
export function readSessionExpires(
  message: SipMessage,
): { readonly seconds: number; readonly refresher: string | undefined } | "unreadable" | undefined {
  const values = headersOf(message, "Session-Expires");
  if (values.length === 0) return undefined;
  const [, digits = "", params = ""] = /^([0-9]+)\s*((?:;.*)?)$/.exec(values[0] ?? "") ?? [];
  const seconds = deltaSeconds(digits);
  if (seconds === undefined || values.length > 1) return "unreadable";
  return { seconds, refresher: /;\s*refresher\s*=\s*(ua[cs])\s*(?:;|$)/i.exec(params)?.[1]?.toLowerCase() };
}

/** A number of seconds that a timer can take, parameters behind it aside. */
export function deltaSeconds(text: string): number | undefined {
  const [, digits] = /^([0-9]{1,9})\s*(?:;.*)?$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Elements of a list header in lower case. */
export const tokensOf = (message: SipMessage, name: string): ReadonlySet<string> =>
  new Set((splitList(headersOf(message, name)) ?? []).map((token) => token.toLowerCase()));
