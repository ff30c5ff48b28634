/**
 * One peer's audio out of a werift DTLS transport, as an AudioSource: packets before werift's router, RED handler and
 * jitter buffer, and before its SRTP and parser too where the transport is ours alone (own-srtp.ts). Negotiation is
 * whip-session.ts, or the program's own.
 */
import { type Observable, Subject } from "rxjs";
import { GenericNack, type RTCDtlsTransport, RtcpSrPacket, RtcpTransportLayerFeedback } from "werift";
import type { AudioSource } from "../../core/audio-source.ts";
import type { Clock } from "../../core/clock.ts";
import type { TonetapError } from "../../core/errors.ts";
import type { AudioLevel, CodecMap, RtpPacket, SenderReport } from "../../core/rtp.ts";
import { LineSignals } from "../line-signals.ts";
import { DEFAULT_MAX_PACKETS_PER_SECOND, PacketRate } from "../packet-rate.ts";
import { isRtcp, ntpToWallMs, parseRtcp } from "../rtcp.ts";
import { parseRtp, type RtpParseOptions } from "../rtp-packet.ts";
import type { SrtpReceiver } from "../srtp/index.ts";
import { lendSrtp, takeMedia } from "./own-srtp.ts";
import { ReceiverReports } from "./receiver-reports.ts";

/** Sequence numbers in one NACK at most: what fits one RTCP packet of 1,200 bytes even if none are neighbours. */
const MAX_NACKED = 256;

type WeriftRtp = Parameters<Parameters<RTCDtlsTransport["onRtp"]["subscribe"]>[0]>[0];
type WeriftRtcp = Parameters<Parameters<RTCDtlsTransport["onRtcp"]["subscribe"]>[0]>[0];

export interface WeriftFeed {
  readonly kind: string;
  readonly transport: RTCDtlsTransport;
  readonly codecs: CodecMap;
  /** Id of the RFC 6464 header extension, if negotiated. */
  readonly audioLevelId: number | undefined;
  /** Takes this SSRC only, and leaves the media to others too; undefined: the transport is ours, with all it carries. */
  readonly ssrc?: number;
  /** Whether our own SRTP is used; default true. */
  readonly ownSrtp?: boolean | undefined;
  /** Packets a second at most; those beyond are dropped and counted. 50–100,000, default 1,000. */
  readonly maxPacketsPerSecond?: number | undefined;
  /** Our own SSRC in RTCP. */
  readonly rtcpSsrc: number;
  readonly clock: Clock;
  /** ms without a packet (RTP or RTCP) after which the peer counts as gone. */
  readonly inactivityMs: number;
  /** Runs once, when the source ends for whatever reason: releases what the feed owns. */
  readonly release: () => Promise<void>;
}

export class WeriftSource implements AudioSource {
  readonly kind: string;
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly line = new LineSignals();
  /** What the publisher says of consent beside its media. */
  readonly signals = this.line.observable;
  readonly requestRetransmission: (sequences: readonly number[]) => void;

  readonly #feed: WeriftFeed;
  readonly #packets = new Subject<RtpPacket>();
  readonly #reports = new Subject<SenderReport>();
  readonly #subscriptions: { unSubscribe: () => void }[];
  readonly #parseOptions: RtpParseOptions;
  readonly #rate: PacketRate;
  readonly #receiverReports: ReceiverReports;
  #srtp: SrtpReceiver | undefined;
  #giveBack: (() => void) | undefined;
  #overRate = 0;
  #malformed = 0;
  #cancelTimer: () => void;
  #lastActivityMs: number;
  #ssrc: number | undefined;
  #closing: Promise<void> | undefined;
  #nacksUnsent = 0;
  #timedOut = false;

  constructor(feed: WeriftFeed) {
    this.#feed = feed;
    this.kind = feed.kind;
    this.codecs = feed.codecs;
    this.packets = this.#packets.asObservable();
    this.senderReports = this.#reports.asObservable();
    this.requestRetransmission = (sequences) => this.#nack(sequences);
    this.#ssrc = feed.ssrc;
    this.#lastActivityMs = feed.clock.now();
    this.#cancelTimer = feed.clock.schedule(feed.inactivityMs, () => this.#checkActivity());
    this.#parseOptions = feed.audioLevelId === undefined ? {} : { audioLevelId: feed.audioLevelId };
    this.#rate = new PacketRate(feed.maxPacketsPerSecond ?? DEFAULT_MAX_PACKETS_PER_SECOND);
    this.#receiverReports = new ReceiverReports(feed.transport, feed.rtcpSsrc, feed.codecs, feed.clock);
    this.#subscriptions = [
      feed.transport.onRtp.subscribe((packet) => this.#onWeriftRtp(packet)),
      feed.transport.onRtcp.subscribe((packet) => this.#onWeriftRtcp(packet)),
      feed.transport.onStateChange.subscribe(() => this.#speedUp()),
    ];
    this.#speedUp();
  }

  /** Whose SRTP unprotects what comes; undefined before the handshake is over, and when it is werift's. */
  get srtp(): SrtpReceiver | undefined {
    return this.#srtp;
  }

  get refused(): Readonly<Record<string, number>> {
    const srtp = Object.entries(this.#srtp?.stats.rejected ?? {});
    const reasons = [
      ...srtp.map(([reason, count]) => [`srtp-${reason}`, count] as const),
      ["over-rate", this.#overRate] as const,
      ["malformed", this.#malformed] as const,
    ];
    return Object.fromEntries(reasons.filter(([, count]) => count > 0));
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  /** Whether it has ended. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Retransmission requests that the transport refused. */
  get nacksUnsent(): number {
    return this.#nacksUnsent;
  }

  /** Ends it: `packets` completes once everything is released. A failure to release makes it error instead. */
  close(): Promise<void> {
    return this.#endOnce(undefined);
  }

  /** Ends it with an error: the transport failed. */
  fail(error: TonetapError): Promise<void> {
    return this.#endOnce(error);
  }

  #endOnce(error: TonetapError | undefined): Promise<void> {
    // A microtask later, because releasing closes the peer, and the closed peer calls close().
    this.#closing ??= Promise.resolve().then(() => this.#end(error));
    return this.#closing;
  }

  async #end(error: unknown): Promise<void> {
    this.#cancelTimer();
    this.#receiverReports.close();
    this.#giveBack?.();
    for (const subscription of this.#subscriptions) subscription.unSubscribe();
    try {
      await this.#feed.release();
    } catch (failure) {
      error ??= failure;
    }
    this.#reports.complete();
    this.line.end();
    if (error === undefined) this.#packets.complete();
    else this.#packets.error(error);
  }

  /** Once the handshake has given the keys. */
  #speedUp(): void {
    const { transport, ownSrtp = true, ssrc } = this.#feed;
    if (!ownSrtp || this.#srtp !== undefined || transport.state !== "connected" || this.closed) return;
    if (ssrc !== undefined) {
      this.#srtp = lendSrtp(transport);
      return;
    }
    const taken = takeMedia(transport, (datagram) => this.#read(datagram));
    this.#srtp = taken?.receiver;
    this.#giveBack = taken?.giveBack;
  }

  /** A datagram of a transport that is ours alone. */
  #read(datagram: Uint8Array): void {
    const receiver = this.#srtp;
    if (receiver === undefined) return;
    const arrivalMs = this.#feed.clock.now();
    if (isRtcp(datagram)) {
      const plain = receiver.unprotectRtcp(datagram);
      if (typeof plain === "string") return;
      this.#lastActivityMs = arrivalMs;
      for (const report of parseRtcp(plain, arrivalMs).senderReports) {
        this.#receiverReports.takeReport(report);
        this.#reports.next(report);
      }
      return;
    }
    const plain = receiver.unprotectRtp(datagram);
    if (typeof plain === "string") return;
    const packet = parseRtp(plain, arrivalMs, this.#parseOptions);
    if (typeof packet === "string") {
      this.#malformed++;
      return;
    }
    this.#receiverReports.take(packet);
    this.#take(packet);
  }

  #take(packet: RtpPacket): void {
    if (!this.#rate.admit(packet.arrivalMs)) {
      this.#overRate++;
      return;
    }
    this.#lastActivityMs = packet.arrivalMs;
    this.#ssrc = packet.ssrc;
    this.#packets.next(packet);
  }

  #onWeriftRtp(packet: WeriftRtp): void {
    const { header, payload } = packet;
    if (this.#feed.ssrc !== undefined && header.ssrc !== this.#feed.ssrc) return;
    const audioLevel = this.#audioLevel(packet);
    this.#take({
      sequence: header.sequenceNumber,
      timestamp: header.timestamp,
      ssrc: header.ssrc,
      payloadType: header.payloadType,
      marker: header.marker,
      // Empty when it was padding only, a bandwidth probe: it goes on, because it takes a sequence number.
      payload,
      arrivalMs: this.#feed.clock.now(),
      ...(audioLevel === undefined ? {} : { audioLevel }),
    });
  }

  #audioLevel(packet: WeriftRtp): AudioLevel | undefined {
    const id = this.#feed.audioLevelId;
    if (id === undefined) return undefined;
    for (const extension of packet.header.extensions) {
      // RFC 6464 §3: one byte, V in its top bit.
      const byte = extension.id === id ? extension.payload[0] : undefined;
      if (byte !== undefined) return { voice: byte >= 0x80, level: byte & 0x7f };
    }
    return undefined;
  }

  #onWeriftRtcp(packet: WeriftRtcp): void {
    if (!(packet instanceof RtcpSrPacket)) {
      // Not every RTCP packet names a sender; on a transport of our own any of them is a sign of life.
      if (this.#feed.ssrc === undefined) this.#lastActivityMs = this.#feed.clock.now();
      return;
    }
    if (this.#feed.ssrc !== undefined && packet.ssrc !== this.#feed.ssrc) return;
    const arrivalMs = this.#feed.clock.now();
    this.#lastActivityMs = arrivalMs;
    const { ntpTimestamp, rtpTimestamp } = packet.senderInfo;
    // RFC 3550 §4: an all-zero NTP time means that the sender has no clock.
    if (ntpTimestamp === 0n) return;
    const ntpWallMs = ntpToWallMs(Number(ntpTimestamp >> 32n), Number(ntpTimestamp & 0xffff_ffffn));
    this.#reports.next({ ssrc: packet.ssrc, ntpWallMs, rtpTimestamp, arrivalMs });
  }

  #nack(sequences: readonly number[]): void {
    const { transport, rtcpSsrc } = this.#feed;
    if (this.#ssrc === undefined || this.closed || sequences.length === 0) return;
    if (transport.state !== "connected") {
      this.#nacksUnsent++;
      return;
    }
    const feedback = new GenericNack({
      senderSsrc: rtcpSsrc,
      mediaSourceSsrc: this.#ssrc,
      lost: sequences.slice(0, MAX_NACKED),
    });
    transport.sendRtcp([new RtcpTransportLayerFeedback({ feedback })]).catch(() => {
      this.#nacksUnsent++;
    });
  }

  #checkActivity(): void {
    const { clock, inactivityMs } = this.#feed;
    const leftMs = this.#lastActivityMs + inactivityMs - clock.now();
    if (leftMs > 0) {
      this.#cancelTimer = clock.schedule(leftMs, () => this.#checkActivity());
      return;
    }
    this.#timedOut = !this.closed;
    void this.close();
  }
}
