/**
 * SIP over TCP and TLS: connections that came or were made, each cut into messages by a framer. Bounded in number, in
 * what one may hold, and in how long it may stay within a message.
 */
import { createServer, isIP, isIPv6, type Server, type Socket, connect as tcpConnect } from "node:net";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { SipPath } from "./server-transactions.ts";
import { SipFramer } from "./sip-framer.ts";
import { GIVE_UP_MS } from "./sip-timing.ts";
import type { SipOrigin, SipTransportStats } from "./sip-transport.ts";

const MAX_CONNECTIONS = 512;
/** Of messages that a peer does not read; then it has lost its connection. */
const MAX_UNREAD_BYTES = 256 * 1024;
/** The system finds out so, which connections are dead, ms. */
const KEEP_ALIVE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 1_000;
const PONG = Buffer.from("\r\n");

export interface TlsIdentity {
  /** PEM. */
  readonly key: string | Uint8Array;
  /** PEM, with intermediates. */
  readonly cert: string | Uint8Array;
}

export interface SipStreamsOptions {
  readonly clock: Clock;
  readonly transport: "tcp" | "tls";
  readonly tls: TlsIdentity | undefined;
  readonly stats: SipTransportStats;
  readonly onMessage: (bytes: Uint8Array, path: SipPath, origin: SipOrigin) => void;
}

export class SipStreams {
  readonly #options: SipStreamsOptions;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();

  /** @throws TonetapError invalid-argument for a certificate that is none. */
  constructor(options: SipStreamsOptions) {
    this.#options = options;
    const accept = (socket: Socket): void => void this.#adopt(socket);
    this.#server = options.tls === undefined ? createServer(accept) : tlsServer(options.tls, accept);
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("drop", () => options.stats.refusedConnections++);
    this.#server.on("tlsClientError", () => options.stats.lostConnections++);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Starts to listen; gives the port. @throws TonetapError unavailable. */
  listen(host: string, port: number): Promise<number> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void =>
        reject(TonetapError.from(error, "unavailable", `TCP port ${host}:${port}`));
      server.once("error", onError);
      server.listen({ host, port, ipv6Only: isIPv6(host) }, () => {
        server.off("error", onError);
        server.on("error", () => this.#options.stats.failed++);
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** Makes a connection. @throws TonetapError unavailable, overloaded. */
  async connect(host: string, port: number): Promise<SipPath> {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      throw new TonetapError("overloaded", `all ${MAX_CONNECTIONS} SIP connections are in use`);
    }
    const { transport, clock } = this.#options;
    // RFC 6066 §3: an address is no server name.
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = transport === "tls" ? tlsConnect({ host, port, ...name }) : tcpConnect({ host, port });
    const path = this.#adopt(socket);
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => {
        cancel();
        reject(new TonetapError("unavailable", `${transport} connection to ${host}:${port} failed`));
        socket.destroy();
      };
      const cancel = clock.schedule(CONNECT_TIMEOUT_MS, fail);
      socket.once("close", fail);
      socket.once(transport === "tls" ? "secureConnect" : "connect", () => {
        socket.off("close", fail);
        cancel();
        resolve();
      });
    });
    return path;
  }

  /** Ends every connection once what was written is sent, or after a second. */
  async close(): Promise<void> {
    const closed = [new Promise<void>((resolve) => this.#server.close(() => resolve()))];
    for (const socket of this.#connections) {
      closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
      socket.destroySoon();
    }
    const cancel = this.#options.clock.schedule(CLOSE_TIMEOUT_MS, () => {
      for (const socket of this.#connections) socket.destroy();
    });
    await Promise.all(closed);
    cancel();
  }

  #adopt(socket: Socket): SipPath {
    const { clock, stats, transport, onMessage } = this.#options;
    this.#connections.add(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const framer = new SipFramer();
    const path: SipPath = {
      reliable: true,
      get alive() {
        return socket.writable;
      },
      send: (message) => {
        if (!socket.writable) stats.unsent++;
        else if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
        else socket.write(message);
      },
    };
    let cancelPartial: (() => void) | undefined;
    const lose = (): void => {
      stats.lostConnections++;
      // Gently: the refusal of what broke the stream shall arrive.
      socket.destroySoon();
    };
    socket.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) {
        if (frame.kind === "ping") path.send(PONG);
        else if (frame.kind === "lost") lose();
        else onMessage(frame.bytes, path, originOf(socket, transport));
      }
      // Whoever began a message has as long to end it as a transaction has.
      if (framer.pending === 0) {
        cancelPartial?.();
        cancelPartial = undefined;
      } else cancelPartial ??= clock.schedule(GIVE_UP_MS, lose);
    });
    socket.on("end", () => socket.destroySoon());
    // Resets are everyday; "close" follows.
    socket.on("error", () => stats.lostConnections++);
    socket.on("close", () => {
      cancelPartial?.();
      this.#connections.delete(socket);
    });
    return path;
  }
}

function originOf(socket: Socket, transport: "tcp" | "tls"): SipOrigin {
  const { remoteAddress = "", remotePort = 0 } = socket;
  return { transport, host: remoteAddress, port: remotePort };
}

/** @throws TonetapError invalid-argument. What openssl says of a key is not repeated. */
function tlsServer({ key, cert }: TlsIdentity, accept: (socket: Socket) => void): Server {
  try {
    return createTlsServer({ key: pem(key), cert: pem(cert) }, accept);
  } catch (error) {
    throw new TonetapError("invalid-argument", "sip tls.cert and tls.key must be PEM, and belong together", {
      cause: error,
    });
  }
}

const pem = (value: string | Uint8Array): string | Buffer =>
  typeof value === "string" ? value : Buffer.from(value);
