/** What a request must say before anything is done with it (RFC 3261 §8.1.1, §8.2), as typed values or as a refusal. */
import { type NameAddr, parseCSeq, parseNameAddr, parseVia, splitList, type Via } from "./sip-header.ts";
import { headerOf, headersOf, type SipRequest } from "./sip-message.ts";
import { parseUri, type SipUri } from "./sip-uri.ts";

/** A request whose mandatory header fields have been read. */
export interface IncomingRequest {
  readonly message: SipRequest;
  readonly method: string;
  readonly uri: SipUri;
  /** The topmost: who sent it to us. */
  readonly via: Via;
  readonly from: NameAddr;
  /** Empty from peers of RFC 2543, as is `toTag` outside of a dialog. */
  readonly fromTag: string;
  readonly to: NameAddr;
  readonly toTag: string;
  readonly callId: string;
  readonly cseq: number;
  readonly contact: NameAddr | undefined;
}

/** Name → value, or values of a line each. */
export type HeaderFields = Readonly<Record<string, string | readonly string[]>>;

/** Why a request is not served. */
export interface Refusal {
  readonly kind: "refusal";
  /** 400–699. */
  readonly status: number;
  /** For people; goes into a Warning header. */
  readonly detail: string;
  /** Further header fields that the status asks for; of a list, each in a line of its own. */
  readonly headers?: HeaderFields;
  /** RFC 3261 §20.43. Default 399. */
  readonly warningCode?: number;
  /** Where it is about who asks, or how many do: the server's owner is told. */
  readonly code?: "unauthenticated" | "policy" | "overloaded";
}

export const refusal = (status: number, detail: string, headers: HeaderFields = {}): Refusal => ({
  kind: "refusal",
  status,
  detail,
  headers,
});

/** Of these a request has at most one (RFC 3261 §7.3.1, §20). */
const SINGLE = ["From", "To", "Call-ID", "CSeq", "Max-Forwards"] as const;

/** Schemes that a Request-URI of ours may have. */
const SERVED_SCHEMES: ReadonlySet<string> = new Set(["sip", "sips", "tel"]);

/** Never throws. */
export function readRequest(message: SipRequest): IncomingRequest | Refusal {
  for (const name of SINGLE) {
    if (headersOf(message, name).length > 1) return refusal(400, `${name} stands there more than once`);
  }
  const vias = splitList(headersOf(message, "Via"));
  const via = parseVia(vias?.[0] ?? "");
  if (via === undefined) return refusal(400, "Via is missing or unreadable");
  const from = parseNameAddr(headerOf(message, "From") ?? "");
  if (from === undefined) return refusal(400, "From is missing or unreadable");
  const to = parseNameAddr(headerOf(message, "To") ?? "");
  if (to === undefined) return refusal(400, "To is missing or unreadable");
  const callId = headerOf(message, "Call-ID") ?? "";
  if (!/^[!-~]+$/.test(callId)) return refusal(400, "Call-ID is missing or unreadable");
  const cseq = parseCSeq(headerOf(message, "CSeq") ?? "");
  if (cseq === undefined) return refusal(400, "CSeq is missing or unreadable");
  if (cseq.method !== message.method) return refusal(400, "CSeq names another method");
  const maxForwards = headerOf(message, "Max-Forwards");
  // Zero is for proxies to refuse: "An endpoint should process the request" (RFC 4475 §3.3.11).
  if (maxForwards !== undefined && !(/^[0-9]{1,6}$/.test(maxForwards) && Number(maxForwards) <= 255)) {
    return refusal(400, "Max-Forwards must be 0–255");
  }
  const uri = parseUri(message.uri);
  if (uri === undefined) return refusal(400, "the Request-URI is unreadable");
  if (!SERVED_SCHEMES.has(uri.scheme)) return refusal(416, `the scheme ${uri.scheme} is not served`);
  const contacts = splitList(headersOf(message, "Contact"));
  const contact = contacts?.[0] === undefined ? undefined : parseNameAddr(contacts[0]);
  // RFC 3261 §8.1.1.8: a request that may begin a dialog names one place where its sender can be reached.
  if (message.method === "INVITE" && contact === undefined) {
    return refusal(400, "Contact is missing or unreadable");
  }
  const tag = ({ params }: NameAddr): string => params.get("tag") ?? "";
  return {
    message,
    method: message.method,
    uri,
    via,
    from,
    fromTag: tag(from),
    to,
    toTag: tag(to),
    callId,
    cseq: cseq.number,
    contact,
  };
}

/** RFC 3261 §8.1.1.7: branches of transactions that follow it begin so. */
const MAGIC_COOKIE = "z9hG4bK";

/**
 * What a request has in common with its retransmissions (RFC 3261 §17.2.3).
 * @param method of the transaction looked for: an ACK of a refusal and a CANCEL name their INVITE's.
 */
export function transactionKey(request: IncomingRequest, method: string): string {
  const { via } = request;
  const branch = via.params.get("branch") ?? "";
  const sentBy = `${via.host}:${via.port ?? ""}`;
  if (branch.startsWith(MAGIC_COOKIE) && branch.length > MAGIC_COOKIE.length) {
    return [method, branch, sentBy].join("\n");
  }
  const { message, fromTag, callId, cseq } = request;
  return [method, branch, sentBy, message.uri, fromTag, callId, cseq].join("\n");
}
