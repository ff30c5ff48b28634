/**
 * `createSipServer`: a user agent server (RFC 3261 §8.2) that takes calls and gives each as an AudioSource. Matches messages
 * to transactions and calls, and refuses what is not served. A call is sip-call.ts, the network sip-transport.ts.
 */
import { randomBytes } from "node:crypto";
import { type Clock, sleep } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { type Closable, ClosesOnce } from "../../core/lifecycle.ts";
import { OutgoingRequests } from "./outgoing-requests.ts";
import type { RegistrationStatus } from "./registration-options.ts";
import { RtpPorts } from "./rtp-ports.ts";
import { InviteTransaction, RequestTransaction, type SipPath } from "./server-transactions.ts";
import { bodyOf } from "./sip-body.ts";
import { type CallContext, type Heard, RETRY_AFTER_S, SipCall } from "./sip-call.ts";
import { splitList } from "./sip-header.ts";
import { headerOf, headersOf, type SipFault, type SipRequest, serializeSip } from "./sip-message.ts";
import { SipRegistration } from "./sip-registration.ts";
import { type IncomingRequest, type Refusal, readRequest, refusal, transactionKey } from "./sip-request.ts";
import { ACCEPT, ALLOW, createRefusal, createResponse, SUPPORTED } from "./sip-response.ts";
import { type ResolvedOptions, resolveOptions, type SipServerOptions } from "./sip-server-options.ts";
import {
  type SipOrigin,
  SipTransport,
  type SipTransportName,
  type SipTransportStats,
} from "./sip-transport.ts";
import { formatSipUri } from "./sip-uri.ts";

/** Transactions at once: what 32 s of a busy PBX leave behind, many times over. */
const MAX_TRANSACTIONS = 20_000;
/** How long close() waits for the peers to answer BYE, ms. */
const CLOSE_GRACE_MS = 2_000;
const METHODS: ReadonlySet<string> = new Set(ALLOW.split(", "));
/** 100rel (RFC 3262) asks that ringing be acknowledged; here nothing rings. */
const EXTENSIONS: ReadonlySet<string> = new Set(["100rel", ...SUPPORTED.split(", ")]);

export interface SipServerStats extends Readonly<SipTransportStats> {
  /** INVITEs that became a call, whether it was accepted then or not. */
  readonly calls: number;
  /** Requests that were refused before that. */
  readonly refused: number;
  /** Messages that met a defect of ours. */
  readonly defects: number;
}

export interface SipServer extends Closable, AsyncDisposable {
  /** Where each transport listens. */
  readonly addresses: ReadonlyMap<SipTransportName, { readonly host: string; readonly port: number }>;
  /** Calls that have not ended. */
  readonly callCount: number;
  /** Everything it keeps for now: a leak check. */
  readonly held: {
    readonly calls: number;
    readonly transactions: number;
    readonly connections: number;
    readonly rtpPorts: number;
  };
  readonly stats: SipServerStats;
  /** How the registration stands, where one is asked for. */
  readonly registration: RegistrationStatus | undefined;
}

/**
 * Listens for calls. The audio of a call begins after `onCall`; it ends with BYE from either side, or when the peer is gone.
 * @throws TonetapError invalid-argument for options out of range, unavailable when a port cannot be had.
 */
export async function createSipServer(options: SipServerOptions): Promise<SipServer> {
  const resolved = resolveOptions(options);
  const transport = await SipTransport.open(resolved);
  return new Server(resolved, transport);
}

class Server extends ClosesOnce implements SipServer {
  readonly addresses: SipServer["addresses"];
  readonly #options: ResolvedOptions;
  readonly #clock: Clock;
  readonly #transport: SipTransport;
  readonly #ports: RtpPorts;
  readonly #context: Omit<CallContext, "onEnd">;
  /** By {@link callKey}. */
  readonly #calls = new Map<string, SipCall>();
  /** By {@link transactionKey}. */
  readonly #transactions = new Map<string, InviteTransaction | RequestTransaction>();
  /** The calls that undecided INVITEs are about, by transaction: CANCEL names nothing else. */
  readonly #invited = new WeakMap<InviteTransaction, SipCall>();
  readonly #outgoing: OutgoingRequests;
  readonly #counts = { calls: 0, refused: 0, defects: 0 };
  readonly #registration: SipRegistration | undefined;

  constructor(options: ResolvedOptions, transport: SipTransport) {
    super();
    this.#options = options;
    this.#clock = options.clock;
    this.#transport = transport;
    this.#ports = new RtpPorts(options.openReception, options.rtpHost, options.rtpPorts);
    const { host } = options;
    this.addresses = new Map([...transport.ports].map(([name, port]) => [name, { host, port }]));
    const announced = (name: SipTransportName) => this.#announced(name);
    this.#outgoing = new OutgoingRequests({ clock: options.clock, transport, announced });
    this.#context = {
      clock: options.clock,
      media: { ...options, ports: this.#ports, announcedHost: options.announcedRtpHost },
      participantDefaults: options.participantDefaults,
      session: options.session,
      recordingRoles: options.recordingRoles,
      onCall: options.onCall,
      onConsent: options.onConsent,
      contact: (origin) => this.#contact(origin),
      ask: (dialog, last, request) => this.#outgoing.askPeer(dialog, last, request),
      onError: options.onError,
    };
    transport.listen({
      onRequest: (request, path, origin) => {
        try {
          this.#receive(request, path, origin);
        } catch (error) {
          this.#counts.defects++;
          options.onError(TonetapError.from(error));
          this.#refuse(request, path, origin, refusal(500, "internal error"));
        }
      },
      onResponse: (response) => this.#outgoing.receive(response),
      onMalformed: (request, fault, path, origin) =>
        this.#refuse(request, path, origin, this.#stranger(origin) ?? FAULTS[fault]),
    });
    if (options.register !== undefined) {
      this.#registration = new SipRegistration(options.register, {
        clock: options.clock,
        outgoing: this.#outgoing,
        contact: (to) => this.#contact(to),
        onError: options.onError,
      });
    }
  }

  get registration(): RegistrationStatus | undefined {
    return this.#registration?.status;
  }

  get callCount(): number {
    return this.#calls.size;
  }

  get held(): SipServer["held"] {
    return {
      calls: this.#calls.size,
      transactions: this.#transactions.size + this.#outgoing.size,
      connections: this.#transport.connections,
      rtpPorts: this.#ports.used,
    };
  }

  get stats(): SipServerStats {
    return { ...this.#transport.stats, ...this.#counts };
  }

  /** Takes its registration back and says BYE to all, waits a little for their answers, then forgets everything. */
  protected async release(): Promise<void> {
    const calls = [...this.#calls.values()];
    for (const call of calls) call.hangUp();
    const patience = new AbortController();
    const unregistered = this.#registration?.close();
    const over = Promise.all(calls.map((call) => call.over));
    const grace = sleep(this.#clock, CLOSE_GRACE_MS, patience.signal).catch(() => undefined);
    await Promise.race([Promise.all([over, unregistered]), grace]);
    patience.abort();
    this.#outgoing.close();
    for (const call of [...this.#calls.values()]) call.abandon();
    // Calls that ended before are forgotten, but a shard may still be closing their sockets.
    await Promise.all([over, unregistered, this.#ports.settled()]);
    for (const transaction of this.#transactions.values()) transaction.close();
    this.#transactions.clear();
    await this.#transport.close();
  }

  #receive(message: SipRequest, path: SipPath, origin: SipOrigin): void {
    const request = this.#stranger(origin) ?? readRequest(message);
    if ("kind" in request) {
      this.#refuse(message, path, origin, request);
      return;
    }
    const { method } = request;
    const call = this.#calls.get(callKey(request));
    const dialogCall = call !== undefined && request.toTag === call.dialog.localTag ? call : undefined;
    if (method === "ACK") {
      const invite = this.#transactions.get(transactionKey(request, "INVITE"));
      if (invite?.kind === "invite" && !invite.awaitsAck) invite.acknowledge();
      else dialogCall?.acknowledged(request);
      return;
    }
    const key = transactionKey(request, method);
    const known = this.#transactions.get(key);
    if (known !== undefined) {
      known.repeated();
      return;
    }
    const why = this.#unserved(request, call, dialogCall);
    if (why !== undefined) {
      this.#refuse(message, path, origin, why);
      return;
    }
    const heard: Heard = { request, path, origin };
    if (method !== "INVITE") this.#serve(key, heard, dialogCall);
    else if (dialogCall !== undefined) this.#invite(key, heard, dialogCall);
    else this.#knock(key, heard);
  }

  /** Who wants to begin a call says who it is, if that is asked. Within a call its tags, which nobody guesses, say so. */
  #knock(key: string, heard: Heard): void {
    const proof = this.#options.digest?.check(heard.request);
    if (proof !== undefined && "kind" in proof) {
      this.#refuse(heard.request.message, heard.path, heard.origin, proof);
    } else this.#invite(key, proof === undefined ? heard : { ...heard, digestUser: proof.user }, undefined);
  }

  #stranger({ host }: SipOrigin): Refusal | undefined {
    if (this.#options.allowedPeers.has(host)) return undefined;
    return { ...refusal(403, `${host} may not call here`), code: "policy" };
  }

  /** RFC 3261 §8.2: what cannot be served, looked at in its order. Refused without keeping anything (§8.2.7). */
  #unserved(
    request: IncomingRequest,
    call: SipCall | undefined,
    dialogCall: SipCall | undefined,
  ): Refusal | undefined {
    const { method, message, toTag, cseq } = request;
    if (!METHODS.has(method)) return refusal(405, `${method} is not served`, { Allow: ALLOW });
    if (method === "CANCEL") return undefined;
    if (toTag !== "" && dialogCall === undefined) return refusal(481, "there is no such call");
    if (toTag === "" && (method === "BYE" || method === "UPDATE" || method === "INFO")) {
      return refusal(481, `${method} belongs to no call`);
    }
    // RFC 3261 §8.2.2.2: the same request has come by two ways.
    if (toTag === "" && call !== undefined && method === "INVITE") {
      return refusal(482, "this INVITE has come by another way already");
    }
    const required = splitList(headersOf(message, "Require")) ?? [];
    const unsupported = required.filter((extension) => !EXTENSIONS.has(extension.toLowerCase()));
    if (unsupported.length > 0) {
      const list = unsupported.join(", ");
      return refusal(420, `required extensions are missing: ${list}`, { Unsupported: list });
    }
    if (method === "INVITE" || method === "UPDATE") {
      const body = bodyOf(message);
      if ("kind" in body) return body;
    }
    if (toTag === "") return this.#noRoom();
    if (this.#transactions.size >= MAX_TRANSACTIONS) return full("too many requests are under way");
    if (dialogCall !== undefined && !dialogCall.dialog.advance(cseq))
      return refusal(500, "CSeq has gone back");
    return undefined;
  }

  /** RFC 3261 §11.2: OPTIONS is answered as an INVITE would be, so that a dispatcher sees a full server. */
  #noRoom(): Refusal | undefined {
    if (this.closing) return later("the server is closing");
    if (this.#calls.size >= this.#options.maxCalls)
      return full(`all ${this.#options.maxCalls} calls are taken`);
    if (this.#transactions.size >= MAX_TRANSACTIONS) return full("too many requests are under way");
    return undefined;
  }

  #invite(key: string, heard: Heard, dialogCall: SipCall | undefined): void {
    const transaction = new InviteTransaction(this.#transactionOptions(key, heard.path));
    this.#transactions.set(key, transaction);
    const invitation = { ...heard, transaction };
    if (dialogCall !== undefined) {
      void dialogCall.reinvite(invitation);
      return;
    }
    // RFC 3261 §17.2.1: so that the caller does not repeat itself while the owner decides.
    transaction.provisional(createResponse(heard.request.message, 100));
    const callId = callKey(heard.request);
    const context = { ...this.#context, onEnd: () => this.#calls.delete(callId) };
    const call = new SipCall(context, invitation, newTag());
    this.#calls.set(callId, call);
    this.#invited.set(transaction, call);
    this.#counts.calls++;
    void call.decide();
  }

  #serve(key: string, heard: Heard, dialogCall: SipCall | undefined): void {
    const { message, method } = heard.request;
    const transaction = new RequestTransaction(this.#transactionOptions(key, heard.path));
    this.#transactions.set(key, transaction);
    switch (method) {
      case "BYE":
        dialogCall?.bye(heard, transaction);
        break;
      case "UPDATE":
        void dialogCall?.update(heard, transaction);
        break;
      case "INFO":
        dialogCall?.info(heard, transaction);
        break;
      case "CANCEL":
        this.#cancel(heard.request, transaction);
        break;
      default:
        transaction.respond(
          createResponse(message, 200, {
            toTag: newTag(),
            headers: { Allow: ALLOW, Accept: ACCEPT, "Accept-Encoding": "identity", Supported: SUPPORTED },
          }),
        );
    }
  }

  /** RFC 3261 §9.2. */
  #cancel(request: IncomingRequest, transaction: RequestTransaction): void {
    const invite = this.#transactions.get(transactionKey(request, "INVITE"));
    if (invite?.kind !== "invite") {
      transaction.respond(
        createRefusal(request.message, refusal(481, "there is nothing to cancel"), newTag()),
      );
      return;
    }
    const call = this.#invited.get(invite);
    transaction.respond(createResponse(request.message, 200, { toTag: call?.dialog.localTag ?? newTag() }));
    if (invite.undecided) call?.cancel();
  }

  #refuse(message: SipRequest, path: SipPath, { host }: SipOrigin, why: Refusal): void {
    this.#counts.refused++;
    if (why.code !== undefined) this.#options.onRefused(new TonetapError(why.code, why.detail), host);
    // RFC 3261 §17.1.1.3: nobody answers an ACK. Without Via nobody knows where the answer belongs.
    if (message.method === "ACK" || headerOf(message, "Via") === undefined) return;
    path.send(serializeSip(createRefusal(message, why, newTag())));
  }

  #transactionOptions(key: string, path: SipPath) {
    return { clock: this.#clock, path, onEnd: () => void this.#transactions.delete(key) };
  }

  #announced(transport: SipTransportName): { readonly host: string; readonly port: number } {
    return {
      host: this.#options.announcedHost,
      port: this.#transport.ports.get(transport) ?? this.#options.port,
    };
  }

  #contact({ transport }: SipOrigin): string {
    const { host, port } = this.#announced(transport);
    const params = transport === "udp" ? {} : { transport };
    return `<${formatSipUri("sip", "tonetap", host, port, params)}>`;
  }
}

/** A dialog before we know whether it is one: our tag is the same for all requests of it. */
const callKey = ({ callId, fromTag }: IncomingRequest): string => `${callId}\n${fromTag}`;

const newTag = (): string => randomBytes(10).toString("hex");

const later = (detail: string): Refusal => refusal(503, detail, { "Retry-After": String(RETRY_AFTER_S) });

const full = (detail: string): Refusal => ({ ...later(detail), code: "overloaded" });

const FAULTS: Readonly<Record<SipFault, Refusal>> = {
  "start-line": refusal(400, "the request line is unreadable"),
  version: refusal(505, "SIP/2.0 is spoken here"),
  header: refusal(400, "a header field is unreadable"),
  "content-length": refusal(400, "Content-Length is unreadable"),
  truncated: refusal(400, "the body is shorter than Content-Length"),
  "too-large": refusal(513, "the message is too large"),
};
