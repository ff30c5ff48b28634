/** A dialog from the called side (RFC 3261 §12): tags, sequence numbers, route set, where the peer is. No I/O, no time. */
import { formatNameAddr, parseNameAddr, splitList } from "./sip-header.ts";
import { headerOf, headersOf, type SipHeader, type SipRequest, type SipResponse } from "./sip-message.ts";
import type { HeaderFields, IncomingRequest } from "./sip-request.ts";
import { SDP_TYPE } from "./sip-response.ts";
import { parseUri, type SipUri } from "./sip-uri.ts";

const NO_BODY = new Uint8Array(0);

/** What a request of ours says besides what the dialog says. */
export interface DialogRequest {
  readonly method: "BYE" | "INVITE" | "UPDATE";
  readonly fields?: HeaderFields;
  /** SDP. */
  readonly body?: string | undefined;
}

export class SipDialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly #local: string;
  readonly #remote: string;
  /** Elements of Record-Route in their order (§12.1.1). */
  readonly #routes: readonly string[];
  #target: SipUri;
  #localSequence = 0;
  #remoteSequence: number;

  /** @param localTag ours: unguessable, for whoever knows both tags can end the call. */
  constructor(invite: IncomingRequest, localTag: string) {
    const { message } = invite;
    this.callId = invite.callId;
    this.localTag = localTag;
    this.remoteTag = invite.fromTag;
    this.#local = `${headerOf(message, "To") ?? ""};tag=${localTag}`;
    this.#remote = headerOf(message, "From") ?? "";
    this.#routes = (splitList(headersOf(message, "Record-Route")) ?? []).filter(
      (route) => parseNameAddr(route) !== undefined,
    );
    this.#target = invite.contact?.uri ?? invite.from.uri;
    this.#remoteSequence = invite.cseq;
  }

  /** Where the peer says it is. */
  get target(): SipUri {
    return this.#target;
  }

  get hasRoute(): boolean {
    return this.#routes.length > 0;
  }

  /** Where a request of ours goes first. */
  get nextHop(): SipUri {
    const first = this.#routes[0];
    return (first === undefined ? undefined : parseNameAddr(first)?.uri) ?? this.#target;
  }

  /** Notes the sequence number of a request; false if it is older than one before (§12.2.2). */
  advance(cseq: number): boolean {
    if (cseq <= this.#remoteSequence) return false;
    this.#remoteSequence = cseq;
    return true;
  }

  /** A re-INVITE or UPDATE may say that the peer has moved. */
  refreshTarget(request: IncomingRequest): void {
    if (request.contact !== undefined) this.#target = request.contact.uri;
  }

  /** The same, of a Contact of a response; one that is unreadable says nothing. */
  moveTarget(contact: string | undefined): void {
    const parsed = parseNameAddr(splitList([contact ?? ""])?.[0] ?? "");
    if (parsed !== undefined) this.#target = parsed.uri;
  }

  /** A request within the dialog (§12.2.1.1). */
  createRequest({ method, fields = {}, body }: DialogRequest, via: string): SipRequest {
    this.#localSequence++;
    const own = Object.entries(fields).flatMap(([name, values]) =>
      [values].flat().map((value) => ({ name, value })),
    );
    const type = body === undefined ? [] : [{ name: "Content-Type", value: SDP_TYPE }];
    const request = this.#compose(method, `${this.#localSequence} ${method}`, via);
    const headers = [...request.headers, ...own, ...type];
    return { ...request, headers, body: body === undefined ? NO_BODY : Buffer.from(body, "utf8") };
  }

  /** The ACK of an INVITE of ours: with the INVITE's number (§13.2.2.4), which the response repeats. */
  createAck(response: SipResponse, via: string): SipRequest {
    return this.#compose("ACK", (headerOf(response, "CSeq") ?? "").replace(/\S+$/, "ACK"), via);
  }

  #compose(method: string, cseq: string, via: string): SipRequest {
    const { uri, routes } = this.#routing();
    const headers: SipHeader[] = [
      { name: "Via", value: via },
      { name: "Max-Forwards", value: "70" },
      ...routes.map((value) => ({ name: "Route", value })),
      { name: "From", value: this.#local },
      { name: "To", value: this.#remote },
      { name: "Call-ID", value: this.callId },
      { name: "CSeq", value: cseq },
    ];
    return { kind: "request", method, uri, headers, body: NO_BODY };
  }

  #routing(): { readonly uri: string; readonly routes: readonly string[] } {
    const target = withoutHeaders(this.#target.text);
    const [first, ...others] = this.#routes;
    const firstUri = first === undefined ? undefined : parseNameAddr(first)?.uri;
    if (firstUri === undefined || firstUri.params.has("lr")) return { uri: target, routes: this.#routes };
    // A strict router wants to find itself in the Request-URI, and the target at the end of the routes.
    return { uri: withoutHeaders(firstUri.text), routes: [...others, formatNameAddr("", target)] };
  }
}

/** A Request-URI has no header fields in it (§19.1.1). */
function withoutHeaders(uri: string): string {
  const mark = uri.indexOf("?", uri.indexOf("@") + 1);
  const cut = mark < 0 ? uri : uri.slice(0, mark);
  return parseUri(cut) === undefined ? uri : cut;
}
