/** Requests of ours (BYE, UPDATE, re-INVITE, REGISTER): where each goes, and who waits for its answer. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { ClientTransaction } from "./client-transaction.ts";
import type { SipPath } from "./server-transactions.ts";
import type { Heard } from "./sip-call.ts";
import type { DialogRequest, SipDialog } from "./sip-dialog.ts";
import { parseCSeq, parseVia, splitList } from "./sip-header.ts";
import { headerOf, headersOf, type SipRequest, type SipResponse, serializeSip } from "./sip-message.ts";
import { GIVE_UP_MS } from "./sip-timing.ts";
import type { SipOrigin, SipTransport, SipTransportName } from "./sip-transport.ts";
import { bracketed, type SipUri } from "./sip-uri.ts";

const DEFAULT_PORT = 5060;
const DEFAULT_TLS_PORT = 5061;

export interface OutgoingOptions {
  readonly clock: Clock;
  readonly transport: SipTransport;
  /** Our address, as peers of this transport see it. */
  readonly announced: (transport: SipTransportName) => { readonly host: string; readonly port: number };
}

/** Where a request goes; a stream that is there already is used again. */
export interface Route {
  readonly to: SipOrigin;
  readonly path?: SipPath | undefined;
}

export class OutgoingRequests {
  readonly #options: OutgoingOptions;
  /** By method and branch. */
  readonly #waiting = new Map<string, ClientTransaction>();
  /** ACKs of INVITEs, for responses that come again; by the INVITE's key. */
  readonly #acks = new Map<string, { readonly send: () => void; readonly forget: () => void }>();
  #closed = false;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** Requests without an answer, and ACKs that may be asked for again. */
  get size(): number {
    return this.#waiting.size + this.#acks.size;
  }

  /**
   * Sends a request; gives the final response and the path, or undefined when none came.
   * @param compose writes the request around our Via
   * @throws TonetapError unavailable, overloaded when there is no way there; closed after {@link close}
   */
  async ask(
    { to, path: known }: Route,
    compose: (via: string) => SipRequest,
  ): Promise<{ readonly response: SipResponse | undefined; readonly path: SipPath }> {
    const path = known?.alive === true ? known : await this.#options.transport.pathTo(to);
    if (this.#closed) throw new TonetapError("closed", "nothing is sent any more");
    const { branch, via } = this.#via(to.transport);
    const request = compose(via);
    const message = serializeSip(request);
    const { clock } = this.#options;
    const key = `${request.method} ${branch}`;
    const isInvite = request.method === "INVITE";
    const response = await new Promise<SipResponse | undefined>((resolve) => {
      const onEnd = (final: SipResponse | undefined): void => {
        this.#waiting.delete(key);
        resolve(final);
      };
      this.#waiting.set(key, new ClientTransaction({ clock, path, message, isInvite, onEnd }));
    });
    return { response, path };
  }

  /** Sends a request within a dialog; gives the final response, undefined when none came. Never rejects. */
  async askPeer(dialog: SipDialog, last: Heard, request: DialogRequest): Promise<SipResponse | undefined> {
    const route = routeOf(dialog, last);
    let via = "";
    try {
      const { response, path } = await this.ask(route, (ours) => {
        via = ours;
        return dialog.createRequest(request, ours);
      });
      if (request.method === "INVITE" && response !== undefined) {
        this.#acknowledge(dialog, { ...route, path }, via, response);
      }
      return response;
    } catch {
      // Whoever cannot be reached any more need not be told.
      this.#options.transport.stats.unsent++;
      return undefined;
    }
  }

  /** RFC 3261 §17.1.3: an answer bears our branch and method. */
  receive(response: SipResponse): void {
    const via = parseVia(splitList(headersOf(response, "Via"))?.[0] ?? "");
    const key = `${parseCSeq(headerOf(response, "CSeq") ?? "")?.method} ${via?.params.get("branch")}`;
    this.#waiting.get(key)?.receive(response);
    if (response.status >= 200) this.#acks.get(key)?.send();
  }

  /** Sends nothing, and waits for no answer, any more. */
  close(): void {
    this.#closed = true;
    for (const transaction of [...this.#waiting.values()]) transaction.close();
    for (const { forget } of [...this.#acks.values()]) forget();
  }

  /** RFC 3261 §13.2.2.4: a 2xx is acknowledged each time that it comes, a refusal within its own transaction (§17.1.1.3). */
  #acknowledge(dialog: SipDialog, route: Route, inviteVia: string, response: SipResponse): void {
    const { path } = route;
    const accepted = response.status < 300;
    if (accepted) dialog.moveTarget(headerOf(response, "Contact"));
    const via = accepted ? this.#via(route.to.transport).via : inviteVia;
    const message = serializeSip(dialog.createAck(response, via));
    const key = `INVITE ${parseVia(inviteVia)?.params.get("branch")}`;
    const forget = (): void => {
      cancel();
      this.#acks.delete(key);
    };
    const cancel = this.#options.clock.schedule(GIVE_UP_MS, forget);
    this.#acks.set(key, { send: () => path?.send(message), forget });
    path?.send(message);
  }

  #via(transport: SipTransportName): { readonly branch: string; readonly via: string } {
    const { host, port } = this.#options.announced(transport);
    const branch = `z9hG4bK${randomBytes(10).toString("hex")}`;
    const via = `SIP/2.0/${transport.toUpperCase()} ${bracketed(host)}:${port};branch=${branch};rport`;
    return { branch, via };
  }
}

/** A stream that is still there leads to the peer; datagrams go where the dialog says. */
function routeOf(dialog: SipDialog, last: Heard): Route {
  const reuse = last.path.reliable && last.path.alive;
  return reuse ? { to: last.origin, path: last.path } : { to: nextAddress(dialog, last) };
}

/** Where a request within a dialog goes first. */
function nextAddress(dialog: SipDialog, last: Heard): SipOrigin {
  const { nextHop } = dialog;
  const { via } = last.request;
  // The peer is its own contact and its address was translated on the way: it can only be reached where it came from.
  const translated = !dialog.hasRoute && nextHop.host === via.host && via.host !== last.origin.host;
  return nextHop.host === "" || translated ? last.origin : addressOf(nextHop, last.origin.transport);
}

/** What a URI names. No DNS but for addresses of host names: no SRV, no NAPTR. */
export function addressOf(uri: SipUri, otherwise: SipTransportName): SipOrigin {
  const named = uri.scheme === "sips" ? "tls" : uri.params.get("transport")?.toLowerCase();
  const transport = named === "udp" || named === "tcp" || named === "tls" ? named : otherwise;
  const port = uri.port ?? (transport === "tls" ? DEFAULT_TLS_PORT : DEFAULT_PORT);
  return { transport, host: uri.host, port };
}
