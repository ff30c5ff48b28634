/** A caller made of a bare socket: writes requests as text, so that a test says exactly what goes over the wire. */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6, connect as tcpConnect } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { expect } from "vitest";
import { PCMU } from "../../../src/core/rtp.ts";
import { RtpStream } from "../../../src/transport/index.ts";
import { SipFramer } from "../../../src/transport/sip/sip-framer.ts";
import {
  headerOf,
  parseSip,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../../src/transport/sip/sip-message.ts";
import { eventually, Peer } from "../loopback.ts";
import { message, offer } from "./messages.ts";

export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface RequestParts {
  readonly uri?: string;
  readonly cseq?: number;
  readonly branch?: string;
  readonly toTag?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly type?: string;
}

const unique = (): string => randomBytes(6).toString("hex");

export class Phone implements AsyncDisposable {
  readonly received: SipMessage[] = [];
  readonly raw: Buffer[] = [];
  /** A new one begins a new call. */
  callId = `call-${unique()}`;
  fromTag = "phone";
  closed = false;
  /** Of UDP: whom it writes to; another may take the first one's place. */
  to: Target;
  readonly #transport: string;
  readonly #local: Target;
  readonly #write: (text: string, to: Target) => Promise<void>;
  readonly #end: () => Promise<void>;

  private constructor(
    transport: string,
    local: Target,
    to: Target,
    write: (text: string, to: Target) => Promise<void>,
    end: () => Promise<void>,
  ) {
    this.#transport = transport;
    this.#local = local;
    this.to = to;
    this.#write = write;
    this.#end = end;
  }

  static async udp(to: Target, localHost = to.host): Promise<Phone> {
    const socket = createSocket(isIPv6(to.host) ? "udp6" : "udp4");
    socket.bind(0, localHost);
    await once(socket, "listening");
    const phone = new Phone(
      "UDP",
      { host: localHost, port: socket.address().port },
      to,
      (text, target) =>
        new Promise((resolve, reject) => {
          socket.send(Buffer.from(text, "latin1"), target.port, target.host, (error) =>
            error === null ? resolve() : reject(error),
          );
        }),
      () => new Promise((resolve) => socket.close(() => resolve())),
    );
    socket.on("message", (datagram) => phone.#hear(datagram));
    return phone;
  }

  static async stream(to: Target, kind: "TCP" | "TLS" = "TCP"): Promise<Phone> {
    const socket =
      kind === "TLS"
        ? tlsConnect({ host: to.host, port: to.port, rejectUnauthorized: false })
        : tcpConnect(to.port, to.host);
    await once(socket, kind === "TLS" ? "secureConnect" : "connect");
    const phone = new Phone(
      kind,
      { host: to.host, port: socket.localPort ?? 0 },
      to,
      (text) => new Promise((resolve) => socket.write(Buffer.from(text, "latin1"), () => resolve())),
      async () => {
        socket.destroy();
      },
    );
    const framer = new SipFramer();
    socket.on("error", () => undefined);
    socket.on("close", () => {
      phone.closed = true;
    });
    socket.on("data", (chunk) => {
      phone.raw.push(Buffer.from(chunk));
      for (const frame of framer.push(chunk)) if (frame.kind === "message") phone.#hear(frame.bytes);
    });
    return phone;
  }

  get port(): number {
    return this.#local.port;
  }

  send(text: string): Promise<void> {
    return this.#write(text, this.to);
  }

  /** A request, as text. */
  compose(method: string, parts: RequestParts = {}): string {
    const { uri = "sip:tonetap@example.com", cseq = 1, branch = `z9hG4bK${unique()}`, toTag } = parts;
    const host = isIPv6(this.#local.host) ? `[${this.#local.host}]` : this.#local.host;
    return message(
      `${method} ${uri} SIP/2.0`,
      [
        `Via: SIP/2.0/${this.#transport} ${host}:${this.#local.port};branch=${branch}`,
        "Max-Forwards: 70",
        `From: "Anna" <sip:anna@example.com>;tag=${this.fromTag}`,
        `To: <sip:tonetap@example.com>${toTag === undefined ? "" : `;tag=${toTag}`}`,
        `Call-ID: ${this.callId}`,
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:anna@${host}:${this.#local.port};transport=${this.#transport.toLowerCase()}>`,
      ],
      [...(parts.headers ?? [])],
      parts.body === undefined ? [] : [`Content-Type: ${parts.type ?? "application/sdp"}`],
      parts.body ?? "",
    );
  }

  /** Sends a request and waits for its final response. */
  async ask(method: string, parts: RequestParts = {}): Promise<SipResponse> {
    const cseq = parts.cseq ?? 1;
    const before = this.received.length;
    await this.send(this.compose(method, { ...parts, cseq }));
    return this.response(`${cseq} ${method}`, before);
  }

  /** Waits for a final response to this CSeq among what came after the first `from` messages. */
  async response(cseq: string, from = 0): Promise<SipResponse> {
    const find = (): SipResponse | undefined =>
      this.received
        .slice(from)
        .find(
          (heard): heard is SipResponse =>
            heard.kind === "response" &&
            heard.status >= 200 &&
            headerOf(heard, "CSeq") === cseq &&
            headerOf(heard, "Call-ID") === this.callId,
        );
    await eventually(() => find() !== undefined);
    return find() ?? expect.unreachable();
  }

  /** Waits for a request of the server's. */
  async request(method: string): Promise<SipRequest> {
    const find = (): SipRequest | undefined =>
      this.received.find((heard): heard is SipRequest => heard.kind === "request" && heard.method === method);
    await eventually(() => find() !== undefined);
    return find() ?? expect.unreachable();
  }

  /** INVITE, 200, ACK. */
  async call(options: { readonly headers?: string[]; readonly body?: string } = {}): Promise<Leg> {
    const { headers = [], body = offer() } = options;
    const ok = await this.ask("INVITE", { headers, body });
    expect(ok.status).toBe(200);
    await this.send(this.compose("ACK", { toTag: tagOf(ok) }));
    return { toTag: tagOf(ok), rtp: mediaOf(ok) };
  }

  /** Waits until the server has read everything sent so far: sockets keep the order. */
  async settled(): Promise<void> {
    const { callId } = this;
    this.callId = `settled-${unique()}`;
    await this.ask("OPTIONS");
    this.callId = callId;
  }

  /** Answers a request of the server's. */
  answer(request: SipRequest, status = 200, headers: readonly string[] = [], body = ""): Promise<void> {
    const copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(
      (name) => `${name}: ${headerOf(request, name)}`,
    );
    const type = body === "" ? [] : ["Content-Type: application/sdp"];
    return this.send(message(`SIP/2.0 ${status} X`, [...copied, ...headers, ...type], body));
  }

  /** All requests of the server's so far. */
  requests(method: string): SipRequest[] {
    return this.received.filter(
      (heard): heard is SipRequest => heard.kind === "request" && heard.method === method,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }

  #hear(bytes: Uint8Array): void {
    const parsed = parseSip(bytes);
    if (parsed.kind === "malformed") expect.unreachable(`the server wrote what is no SIP: ${parsed.fault}`);
    else this.received.push(parsed);
  }
}

export interface Leg {
  readonly toTag: string;
  /** Where the server wants RTP. */
  readonly rtp: Target;
}

export const tagOf = (response: SipMessage): string =>
  /;tag=([^;]+)/.exec(headerOf(response, "To") ?? "")?.[1] ?? expect.unreachable("no To tag");

export const sdpText = (response: SipMessage): string => Buffer.from(response.body).toString();

export function mediaOf(response: SipMessage): Target {
  const sdp = sdpText(response);
  const host = /c=IN IP[46] (\S+)/.exec(sdp)?.[1] ?? "";
  return { host, port: Number(/m=audio (\d+)/.exec(sdp)?.[1]) };
}

/** Sends `count` PCMU packets of 20 ms at once, from `from` or a socket of its own. */
export async function sendRtp(
  to: Target,
  count: number,
  from?: Peer,
  stream = new RtpStream({ codec: PCMU, payloadType: 0 }),
): Promise<void> {
  const peer = from ?? (await Peer.open(to.host));
  for (let i = 0; i < count; i++)
    await peer.send(stream.packet({ payload: new Uint8Array(160).fill(i) }), to);
  if (from === undefined) await peer[Symbol.asyncDispose]();
}
