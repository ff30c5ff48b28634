/**
 * A UDP port that receives RTP and RTCP: binds, tells the two apart, unprotects, parses, counts what is malformed.
 * Whose packets they are is the business of udp-rtp-source.ts (one peer) and udp-rtp-server.ts (many).
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import { type Closable, CloseStack } from "../core/lifecycle.ts";
import type { RtpPacket } from "../core/rtp.ts";
import { isRtcp, parseRtcp, type RtcpReport } from "./rtcp.ts";
import { parseRtp, type RtpMalformed, type RtpParseOptions } from "./rtp-packet.ts";
import { createSrtpSession, type SrtpKeys, type SrtpRejection, type SrtpSession } from "./srtp/index.ts";

/** Tries for an even port with a free neighbour when the system picks the port. */
const PORT_PAIR_TRIES = 20;

/** What came to a port. Every RTP datagram ends in one of the counters. */
export interface UdpRtpStats {
  /** RTP packets handed on. */
  packets: number;
  /** RTCP datagrams read in full. */
  rtcp: number;
  /** Datagrams that are no RTP, by reason, and RTCP that is damaged. */
  readonly malformed: Record<RtpMalformed | "rtcp", number>;
  /** SRTP and SRTCP that did not pass, by reason: `not-authentic` is what a wrong key looks like. */
  readonly srtp: Record<SrtpRejection, number>;
  /** Beyond a peer's packets a second: dropped. */
  overRate: number;
  /** From another address than the peer's, or of no participant that is wanted: dropped. */
  foreign: number;
  /** Came before anybody subscribed: dropped. */
  unread: number;
  /** RTCP of ours that the system did not send, or that there is no SRTP key for. */
  unsent: number;
}

export interface UdpRtpPortOptions {
  /** Default the machine's. */
  readonly clock?: Clock;
  /** Address to listen on, IPv4 or IPv6. Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** 0–65535, default 0: the system picks one. */
  readonly port?: number;
  /**
   * Where RTCP comes in. `same-port` (default): multiplexed, RFC 5761. `next-port`: also on the port above, as RFC 3550
   * §11 has it; when the system picks the port, it is even.
   */
  readonly rtcp?: "same-port" | "next-port";
  /** Asked of the system for its receive buffer, bytes. 8,192–268,435,456; default 1 MiB: 5 s of 200 streams. */
  readonly recvBufferBytes?: number;
  /** Local identifier of the RFC 6464 audio level, if agreed. 1–255; none by default. */
  readonly audioLevelId?: number;
  /** With these keys only SRTP is taken (RFC 3711). Default: plain RTP. */
  readonly srtp?: SrtpKeys;
}

export interface UdpAddress {
  readonly host: string;
  readonly port: number;
}

/** Where a port hands what it reads. */
export interface UdpRtpHandler {
  onRtp(packet: RtpPacket, from: RemoteInfo): void;
  onRtcp(report: RtcpReport, from: RemoteInfo): void;
  /** The socket failed; nothing more will come. */
  onFailure(error: TonetapError): void;
}

export class UdpRtpPort implements Closable {
  readonly address: UdpAddress;
  readonly stats: UdpRtpStats = createStats();
  readonly #clock: Clock;
  readonly #parseOptions: RtpParseOptions;
  /** RTP's, then RTCP's if it has one of its own. */
  readonly #sockets: readonly [Socket, Socket?];
  readonly #resources = new CloseStack();
  #srtp: SrtpSession | undefined;

  private constructor(sockets: readonly [Socket, Socket?], options: UdpRtpPortOptions) {
    const { address, port } = sockets[0].address();
    this.address = { host: address, port };
    this.#clock = options.clock ?? systemClock;
    this.#parseOptions = options.audioLevelId === undefined ? {} : { audioLevelId: options.audioLevelId };
    this.#sockets = sockets;
    if (options.srtp !== undefined) this.secure(options.srtp);
    for (const socket of sockets) {
      if (socket !== undefined) this.#resources.defer("UDP socket", () => closeSocket(socket));
    }
  }

  /** @throws TonetapError invalid-argument for options out of range, unavailable when the port cannot be had. */
  static async open(options: UdpRtpPortOptions): Promise<UdpRtpPort> {
    const { host = "127.0.0.1", port = 0, rtcp = "same-port", recvBufferBytes = 1 << 20 } = options;
    assertRange("port", port, 0, rtcp === "same-port" ? 65_535 : 65_534);
    assertRange("recvBufferBytes", recvBufferBytes, 8192, 1 << 28, "bytes");
    if (options.audioLevelId !== undefined) assertRange("audioLevelId", options.audioLevelId, 1, 255);
    // Keys of a wrong size are told before there is a socket to close.
    if (options.srtp !== undefined) createSrtpSession(options.srtp);
    const sockets: readonly [Socket, Socket?] =
      rtcp === "next-port"
        ? await bindPair(host, port, recvBufferBytes)
        : [await bind(host, port, recvBufferBytes)];
    return new UdpRtpPort(sockets, options);
  }

  /** Starts reading. Called once, right after open(): nothing is read between the two. */
  listen(handler: UdpRtpHandler): void {
    for (const socket of this.#sockets) {
      socket?.on("message", (datagram, from) => this.#read(datagram, from, handler));
      socket?.on("error", (error) =>
        handler.onFailure(TonetapError.from(error, "unavailable", "UDP socket")),
      );
    }
  }

  /**
   * From here on only SRTP with these keys is taken, and RTCP is sent as SRTCP. New keys replace the old at once.
   * @throws TonetapError invalid-argument when a key has the wrong size.
   */
  secure(keys: SrtpKeys): void {
    this.#srtp = createSrtpSession(keys);
  }

  /** All that it refused, by reason. */
  get refused(): Readonly<Record<string, number>> {
    const { srtp, malformed, foreign, overRate, unread } = this.stats;
    const srtpReasons = Object.entries(srtp).map(([reason, count]) => [`srtp-${reason}`, count] as const);
    const reasons = [
      ...srtpReasons,
      ...Object.entries(malformed),
      ["foreign", foreign] as const,
      ["over-rate", overRate] as const,
      ["unread", unread] as const,
    ];
    return Object.fromEntries(reasons.filter(([, count]) => count > 0));
  }

  /** Sends RTCP to a peer whose RTP comes from `rtp`, and whose RTCP comes from `rtcp` if that is known. */
  sendRtcp(bytes: Uint8Array, rtp: UdpAddress, rtcp: UdpAddress | undefined): void {
    if (this.#resources.closed) return;
    const [rtpSocket, rtcpSocket] = this.#sockets;
    const { host, port } = rtcp ?? { host: rtp.host, port: rtp.port + (rtcpSocket === undefined ? 0 : 1) };
    // A datagram may come from any port, but send() throws for 0 and 65,536.
    if (port < 1 || port > 65_535) {
      this.stats.unsent++;
      return;
    }
    const sender = this.#srtp?.sender;
    if (this.#srtp !== undefined && sender === undefined) {
      this.stats.unsent++;
      return;
    }
    (rtcpSocket ?? rtpSocket).send(sender?.protectRtcp(bytes) ?? bytes, port, host, (error) => {
      if (error !== null) this.stats.unsent++;
    });
  }

  close(): Promise<void> {
    return this.#resources.close();
  }

  #read(datagram: Uint8Array, from: RemoteInfo, handler: UdpRtpHandler): void {
    const arrivalMs = this.#clock.now();
    // SRTP leaves clear what tells RTCP from RTP.
    const rtcp = isRtcp(datagram);
    const plain = this.#unprotect(datagram, rtcp);
    if (typeof plain === "string") {
      this.stats.srtp[plain]++;
      return;
    }
    if (rtcp) {
      const report = parseRtcp(plain, arrivalMs);
      if (report.malformed) this.stats.malformed.rtcp++;
      else this.stats.rtcp++;
      handler.onRtcp(report, from);
      return;
    }
    // Node gives each datagram memory of its own: it may be decrypted in place, and the payload kept.
    const packet = parseRtp(plain, arrivalMs, this.#parseOptions);
    if (typeof packet === "string") this.stats.malformed[packet]++;
    else handler.onRtp(packet, from);
  }

  #unprotect(datagram: Uint8Array, rtcp: boolean): Uint8Array | SrtpRejection {
    if (this.#srtp === undefined) return datagram;
    const { receiver } = this.#srtp;
    return rtcp ? receiver.unprotectRtcp(datagram) : receiver.unprotectRtp(datagram);
  }
}

/** Binds a UDP socket. @throws TonetapError unavailable. */
async function bind(host: string, port: number, recvBufferSize: number): Promise<Socket> {
  const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", recvBufferSize });
  try {
    socket.bind({ address: host, port });
    await once(socket, "listening");
    return socket;
  } catch (error) {
    socket.close();
    throw TonetapError.from(error, "unavailable", `UDP port ${host}:${port}`);
  }
}

/** Binds a port and the one above it. */
async function bindPair(host: string, port: number, recvBufferSize: number): Promise<[Socket, Socket]> {
  let failure: unknown;
  for (let attempt = 0; attempt < (port === 0 ? PORT_PAIR_TRIES : 1); attempt++) {
    const rtp = await bind(host, port, recvBufferSize);
    const bound = rtp.address().port;
    // RFC 3550 §11: RTP takes an even port, RTCP the next.
    if (port !== 0 || bound % 2 === 0) {
      try {
        return [rtp, await bind(host, bound + 1, recvBufferSize)];
      } catch (error) {
        failure = error;
      }
    }
    await closeSocket(rtp);
  }
  throw TonetapError.from(failure ?? "no even port with a free neighbour", "unavailable");
}

function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}

function createStats(): UdpRtpStats {
  return {
    packets: 0,
    rtcp: 0,
    malformed: {
      "too-short": 0,
      "wrong-version": 0,
      "truncated-csrc": 0,
      "truncated-extension": 0,
      "bad-padding": 0,
      rtcp: 0,
    },
    srtp: { "too-short": 0, "not-authentic": 0, replayed: 0, "too-old": 0, "too-many-sources": 0 },
    overRate: 0,
    foreign: 0,
    unread: 0,
    unsent: 0,
  };
}
