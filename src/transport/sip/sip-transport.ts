/**
 * SIP on the network: listens on UDP, TCP and TLS, parses, notes in Via where a request really came from, and knows the way
 * back (RFC 3261 §18, RFC 3581). What a message means is decided elsewhere.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { CloseStack } from "../../core/lifecycle.ts";
import type { SipPath } from "./server-transactions.ts";
import { parseVia, splitList, stampVia } from "./sip-header.ts";
import { headersOf, parseSip, type SipFault, type SipRequest, type SipResponse } from "./sip-message.ts";
import { SipStreams, type TlsIdentity } from "./sip-streams.ts";

export type SipTransportName = "udp" | "tcp" | "tls";

/** Where a message came from. */
export interface SipOrigin {
  readonly transport: SipTransportName;
  readonly host: string;
  readonly port: number;
}

export interface SipTransportStats {
  requests: number;
  responses: number;
  /** No SIP, or damaged. */
  malformed: number;
  /** Messages of ours that could not be sent. */
  unsent: number;
  /** Errors of listening sockets. */
  failed: number;
  /** Connections over the limit. */
  refusedConnections: number;
  /** Connections that broke, or sent what is no SIP. */
  lostConnections: number;
}

export interface SipTransportHandler {
  onRequest(request: SipRequest, path: SipPath, origin: SipOrigin): void;
  onResponse(response: SipResponse, origin: SipOrigin): void;
  /** Something that began like a request. */
  onMalformed(request: SipRequest, fault: SipFault, path: SipPath, origin: SipOrigin): void;
}

export interface SipTransportOptions {
  readonly clock: Clock;
  readonly host: string;
  /** Of UDP and TCP. 0: the system picks one, the same for both. */
  readonly port: number;
  readonly transports: readonly SipTransportName[];
  readonly tls: (TlsIdentity & { readonly port: number }) | undefined;
}

/** Tries for a port that is free for both UDP and TCP. */
const SAME_PORT_TRIES = 20;
const DEFAULT_PORT = 5060;

export class SipTransport {
  readonly stats: SipTransportStats = {
    requests: 0,
    responses: 0,
    malformed: 0,
    unsent: 0,
    failed: 0,
    refusedConnections: 0,
    lostConnections: 0,
  };
  readonly #options: SipTransportOptions;
  readonly #resources = new CloseStack();
  readonly #ports = new Map<SipTransportName, number>();
  readonly #streams = new Map<SipTransportName, SipStreams>();
  #udp: Socket | undefined;
  #handler: SipTransportHandler | undefined;

  private constructor(options: SipTransportOptions) {
    this.#options = options;
  }

  /** @throws TonetapError unavailable when a port cannot be had. */
  static async open(options: SipTransportOptions): Promise<SipTransport> {
    for (let attempt = 1; ; attempt++) {
      const transport = new SipTransport(options);
      try {
        await transport.#bind();
        return transport;
      } catch (error) {
        await transport.close();
        const taken = error instanceof TonetapError && error.code === "unavailable";
        if (!taken || options.port !== 0 || attempt === SAME_PORT_TRIES) throw error;
      }
    }
  }

  /** Where each transport listens. */
  get ports(): ReadonlyMap<SipTransportName, number> {
    return this.#ports;
  }

  get connections(): number {
    return [...this.#streams.values()].reduce((sum, streams) => sum + streams.connections, 0);
  }

  /** Starts handing on. Called once, right after open(). */
  listen(handler: SipTransportHandler): void {
    this.#handler = handler;
  }

  /** A path for requests of ours. @throws TonetapError unavailable, overloaded. */
  async pathTo(to: SipOrigin): Promise<SipPath> {
    if (to.transport === "udp" && this.#udp !== undefined) return this.#datagramPath(to.host, to.port);
    const streams = this.#streams.get(to.transport);
    if (streams === undefined)
      throw new TonetapError("unavailable", `SIP over ${to.transport} is not served`);
    return streams.connect(to.host, to.port);
  }

  close(): Promise<void> {
    return this.#resources.close();
  }

  async #bind(): Promise<void> {
    const { host, port, transports, tls } = this.#options;
    let shared = port;
    if (transports.includes("tcp")) shared = await this.#listenStreams("tcp", shared, undefined);
    if (transports.includes("tls")) await this.#listenStreams("tls", tls?.port ?? 0, tls);
    if (transports.includes("udp")) this.#ports.set("udp", await this.#bindUdp(host, shared));
  }

  async #listenStreams(
    transport: "tcp" | "tls",
    port: number,
    tls: TlsIdentity | undefined,
  ): Promise<number> {
    const streams = new SipStreams({
      clock: this.#options.clock,
      transport,
      tls,
      stats: this.stats,
      onMessage: (bytes, path, origin) => this.#receive(bytes, origin, path),
    });
    const bound = await streams.listen(this.#options.host, port);
    this.#resources.defer(transport, () => streams.close());
    this.#streams.set(transport, streams);
    this.#ports.set(transport, bound);
    return bound;
  }

  async #bindUdp(host: string, port: number): Promise<number> {
    const socket = createSocket({
      type: isIPv6(host) ? "udp6" : "udp4",
      ipv6Only: isIPv6(host),
      recvBufferSize: 1 << 20,
    });
    this.#resources.defer("udp", () => new Promise<void>((resolve) => socket.close(() => resolve())));
    try {
      socket.bind({ address: host, port });
      await once(socket, "listening");
    } catch (error) {
      throw TonetapError.from(error, "unavailable", `UDP port ${host}:${port}`);
    }
    socket.on("error", () => this.stats.failed++);
    socket.on("message", (datagram, from) => {
      // RFC 5626 §3.5.1 and habit: keep-alives of a few bytes want no answer.
      if (datagram.length <= 4) return;
      this.#receive(datagram, { transport: "udp", host: from.address, port: from.port });
    });
    this.#udp = socket;
    return socket.address().port;
  }

  /** @param stream the connection that it came by, unless it was a datagram. */
  #receive(bytes: Uint8Array, origin: SipOrigin, stream?: SipPath): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    const message = parseSip(bytes);
    switch (message.kind) {
      case "response":
        this.stats.responses++;
        handler.onResponse(message, origin);
        break;
      case "request": {
        this.stats.requests++;
        const [request, path] = this.#stamped(message, origin, stream);
        handler.onRequest(request, path, origin);
        break;
      }
      case "malformed": {
        this.stats.malformed++;
        if (message.request === undefined) break;
        const [request, path] = this.#stamped(message.request, origin, stream);
        handler.onMalformed(request, message.fault, path, origin);
        break;
      }
      default:
        message satisfies never;
    }
  }

  /** The request with its topmost Via completed, and the way back. */
  #stamped(request: SipRequest, origin: SipOrigin, stream: SipPath | undefined): [SipRequest, SipPath] {
    const [top = "", ...others] = splitList(headersOf(request, "Via")) ?? [];
    const via = parseVia(top);
    const back = (port: number): SipPath => stream ?? this.#datagramPath(origin.host, port);
    if (via === undefined) return [request, back(origin.port)];
    const vias = [stampVia(top, via, origin), ...others].map((value) => ({ name: "Via", value }));
    const headers = [...vias, ...request.headers.filter(({ name }) => name !== "Via")];
    // RFC 3261 §18.2.2, RFC 3581 §4: to the address it came from; to the port it came from if asked to.
    const port = via.params.has("rport") ? origin.port : (via.port ?? DEFAULT_PORT);
    return [{ ...request, headers }, back(port)];
  }

  #datagramPath(host: string, port: number): SipPath {
    const socket = this.#udp;
    const { stats } = this;
    return {
      reliable: false,
      alive: true,
      send: (message) => {
        if (socket === undefined || this.#resources.closed) {
          stats.unsent++;
          return;
        }
        socket.send(message, port, host, (error) => {
          if (error !== null) stats.unsent++;
        });
      },
    };
  }
}
