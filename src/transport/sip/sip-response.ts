/** Writes responses: what each must copy from its request (RFC 3261 §8.2.6), and the phrases people read. */
import { headerOf, headersOf, type SipHeader, type SipRequest, type SipResponse } from "./sip-message.ts";
import type { HeaderFields, Refusal } from "./sip-request.ts";

export const ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";
/** RFC 4028, RFC 7866. Reliable ringing (100rel) is no extension that we need: nothing rings here. */
export const SUPPORTED = "timer, siprec";
export const SDP_TYPE = "application/sdp";
export const MULTIPART_TYPE = "multipart/mixed";
/** Bodies that are read. */
export const ACCEPT = `${SDP_TYPE}, application/rs-metadata, application/rs-metadata+xml, ${MULTIPART_TYPE}`;
const SERVER = "tonetap";

/** RFC 3261 §21, of what we send. */
const REASONS: Readonly<Record<number, string>> = {
  100: "Trying",
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  415: "Unsupported Media Type",
  416: "Unsupported URI Scheme",
  420: "Bad Extension",
  422: "Session Interval Too Small",
  480: "Temporarily Unavailable",
  469: "Bad Info Package",
  481: "Call/Transaction Does Not Exist",
  482: "Loop Detected",
  486: "Busy Here",
  487: "Request Terminated",
  488: "Not Acceptable Here",
  491: "Request Pending",
  500: "Server Internal Error",
  503: "Service Unavailable",
  504: "Server Time-out",
  505: "Version Not Supported",
  513: "Message Too Large",
};

export interface ResponseOptions {
  /** Ours, in To; left out if To has one already, or for 100. */
  readonly toTag?: string;
  readonly headers?: HeaderFields;
  /** SDP. */
  readonly body?: string;
}

/** The request needs to have what it is answered by: Via, From, To, Call-ID, CSeq; what is missing is left out. */
export function createResponse(
  request: SipRequest,
  status: number,
  options: ResponseOptions = {},
): SipResponse {
  const { toTag, headers = {}, body } = options;
  const copied: SipHeader[] = headersOf(request, "Via").map((value) => ({ name: "Via", value }));
  for (const name of ["From", "To", "Call-ID", "CSeq"]) {
    const value = headerOf(request, name);
    if (value === undefined) continue;
    const tagged = name === "To" && toTag !== undefined && !/;\s*tag\s*=/i.test(afterAddress(value));
    copied.push({ name, value: tagged ? `${value};tag=${toTag}` : value });
  }
  // RFC 3261 §8.2.6.1: a 100 gives back the time it was asked with; our delay is none.
  const timestamp = status === 100 ? headerOf(request, "Timestamp") : undefined;
  if (timestamp !== undefined) copied.push({ name: "Timestamp", value: timestamp });
  // RFC 3261 §12.1.1: the route of a dialog is what its first request recorded.
  if (status >= 200 && status < 300) {
    for (const value of headersOf(request, "Record-Route")) copied.push({ name: "Record-Route", value });
  }
  const own = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => ({ name, value })),
  );
  const type = body === undefined ? [] : [{ name: "Content-Type", value: SDP_TYPE }];
  return {
    kind: "response",
    status,
    reason: REASONS[status] ?? "",
    headers: [...copied, { name: "Server", value: SERVER }, ...own, ...type],
    body: Buffer.from(body ?? "", "utf8"),
  };
}

/** @param toTag of the dialog or transaction that it belongs to. */
export function createRefusal(request: SipRequest, why: Refusal, toTag: string): SipResponse {
  const headers = { ...why.headers, Warning: warningOf(why.detail, why.warningCode) };
  return createResponse(request, why.status, { toTag, headers });
}

/** RFC 3261 §20.43: code, agent, text. */
export function warningOf(detail: string, code = 399): string {
  return `${code} ${SERVER} "${detail.replace(/[^ -~]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}

/** A `tag=` within the URI is not the header's. */
const afterAddress = (value: string): string => value.slice(value.lastIndexOf(">") + 1);
