/**
 * One peer's RTP on its way from a UDP port to the pipeline: locks onto the peer's address, ends on BYE or silence,
 * asks for retransmissions. Sockets are udp-rtp-port.ts.
 */
import { randomInt } from "node:crypto";
import type { RemoteInfo } from "node:dgram";
import { type Observable, Subject } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import type { Clock } from "../core/clock.ts";
import { assertRange, type TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { CodecMap, RtpPacket, SenderReport } from "../core/rtp.ts";
import type { MonotonicMs } from "../core/units.ts";
import { concatBytes } from "./bytes.ts";
import { DEFAULT_MAX_PACKETS_PER_SECOND, PacketRate } from "./packet-rate.ts";
import { type RtcpReport, serializeNack, serializeReceiverReport } from "./rtcp.ts";
import type { UdpAddress, UdpRtpStats } from "./udp-rtp-port.ts";

/** A peer that said BYE and sends on within this time stays, ms: RFC 3550 §8.2 has it do so to change its SSRC. */
const BYE_GRACE_MS = 500;

/** Longer than any pause of a sender that is still there: even with DTX, RTCP aside, Opus sends every 400 ms. */
export const DEFAULT_INACTIVITY_MS = 30_000;

/** What whoever opens a port may say of its peers. */
export interface RtpPeerOptions {
  /** Ends a peer after this long without a packet, counted from its first, ms. 100–3,600,000, default 30,000. */
  readonly inactivityMs?: number;
  /** Packets a second of one peer at most; those beyond are counted in `stats.overRate`. 50–100,000, default 1,000. */
  readonly maxPacketsPerSecond?: number;
}

/** @throws TonetapError invalid-argument naming the option. */
export function assertPeerOptions({ inactivityMs, maxPacketsPerSecond }: RtpPeerOptions): void {
  if (inactivityMs !== undefined) assertRange("inactivityMs", inactivityMs, 100, 3_600_000, "ms");
  if (maxPacketsPerSecond !== undefined) assertRange("maxPacketsPerSecond", maxPacketsPerSecond, 50, 100_000);
}

/** Why a flow ended, for who keeps books of flows. */
export type RtpFlowEnd = "bye" | "inactive" | "closed" | "failed";

export interface RtpFlowOptions extends RtpPeerOptions {
  readonly clock: Clock;
  readonly codecs: CodecMap;
  /** Ends a flow that has no packet after `ms`, with this error. Default: it waits for ever. */
  readonly arming?: { readonly ms: number; readonly failure: () => TonetapError } | undefined;
  readonly stats: UdpRtpStats;
  readonly sendRtcp: (bytes: Uint8Array, rtp: UdpAddress, rtcp: UdpAddress | undefined) => void;
  /** Closes the flow when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Runs once, when it has ended: releases what belongs to it. */
  readonly onEnd: (reason: RtpFlowEnd) => Promise<void>;
}

export class RtpFlow implements AudioSource, AsyncDisposable {
  readonly kind = "rtp";
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly requestRetransmission: (sequences: readonly number[]) => void;

  readonly #options: RtpFlowOptions;
  readonly #packets = new Subject<RtpPacket>();
  readonly #reports = new Subject<SenderReport>();
  /** Our own, in what we send. */
  readonly #ownSsrc = randomInt(2 ** 32);
  #ssrc: number | undefined;
  #remote: UdpAddress | undefined;
  #rtcpRemote: UdpAddress | undefined;
  /** The latest report of an SSRC that has sent no packet yet. */
  #early: { readonly report: SenderReport; readonly host: string } | undefined;
  readonly #inactivityMs: number;
  readonly #rate: PacketRate;
  #overRate = 0;
  #lastPacketMs = 0;
  #cancelTimer: (() => void) | undefined;
  #byeAtMs: MonotonicMs | undefined;
  readonly #forgetSignal: () => void;
  #ending: Promise<void> | undefined;
  #timedOut = false;

  constructor(options: RtpFlowOptions) {
    this.#options = options;
    this.codecs = options.codecs;
    this.packets = this.#packets.asObservable();
    this.senderReports = this.#reports.asObservable();
    this.requestRetransmission = (sequences) => this.#nack(sequences);
    this.#inactivityMs = options.inactivityMs ?? DEFAULT_INACTIVITY_MS;
    this.#rate = new PacketRate(options.maxPacketsPerSecond ?? DEFAULT_MAX_PACKETS_PER_SECOND);
    const { arming } = options;
    if (arming !== undefined) {
      this.#cancelTimer = options.clock.schedule(arming.ms, () => void this.fail(arming.failure()));
    }
    this.#forgetSignal = closeOnAbort(this, options.signal);
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  get refused(): Readonly<Record<string, number>> {
    return this.#overRate === 0 ? {} : { "over-rate": this.#overRate };
  }

  /** SSRC of the latest packet. */
  get ssrc(): number | undefined {
    return this.#ssrc;
  }

  /** The address it has locked onto: that of the first valid packet. */
  get remote(): UdpAddress | undefined {
    return this.#remote;
  }

  /** Takes a packet of this peer, or counts why not. */
  take(packet: RtpPacket, from: RemoteInfo): void {
    const { stats } = this.#options;
    if (this.#ending !== undefined) return;
    if (!this.#packets.observed) {
      stats.unread++;
      return;
    }
    if (this.#remote === undefined) {
      // Whoever locks the source must at least speak of a payload type that was agreed.
      if (!this.codecs.has(packet.payloadType)) {
        stats.foreign++;
        return;
      }
      this.#remote = { host: from.address, port: from.port };
      this.#armTimer(this.#inactivityMs);
    } else if (from.port !== this.#remote.port || from.address !== this.#remote.host) {
      stats.foreign++;
      return;
    }
    if (!this.#rate.admit(packet.arrivalMs)) {
      stats.overRate++;
      this.#overRate++;
      return;
    }
    const news = packet.ssrc !== this.#ssrc;
    this.#ssrc = packet.ssrc;
    this.#lastPacketMs = packet.arrivalMs;
    stats.packets++;
    this.#packets.next(packet);
    if (news) this.#giveEarlyReport(from.address);
  }

  /** Takes what RTCP says of this peer. Its port may differ from that of RTP, its host may not. */
  takeRtcp(report: RtcpReport, from: RemoteInfo): void {
    if (this.#ending !== undefined) return;
    if (this.#remote !== undefined && from.address !== this.#remote.host) {
      this.#options.stats.foreign++;
      return;
    }
    if (this.#remote !== undefined) this.#rtcpRemote = { host: from.address, port: from.port };
    for (const senderReport of report.senderReports) {
      if (senderReport.ssrc === this.#ssrc) this.#reports.next(senderReport);
      else this.#early = { report: senderReport, host: from.address };
    }
    if (this.#ssrc !== undefined && report.byes.includes(this.#ssrc)) this.#takeBye();
  }

  /** A BYE that is said again moves nothing, unless packets came between: else it could be said for ever. */
  #takeBye(): void {
    if (this.#byeAtMs !== undefined && this.#lastPacketMs <= this.#byeAtMs) return;
    this.#byeAtMs = this.#options.clock.now();
    this.#armTimer(BYE_GRACE_MS);
  }

  /** ffmpeg, for one, reports right before its first packet, and then not for 5 s. */
  #giveEarlyReport(host: string): void {
    const early = this.#early;
    if (early?.report.ssrc !== this.#ssrc || early?.host !== host) return;
    this.#early = undefined;
    this.#reports.next(early.report);
  }

  /** `packets` completes once everything is released; a failure to release makes it error instead. */
  close(): Promise<void> {
    return this.#end("closed", undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The transport beneath it failed. */
  fail(error: TonetapError): Promise<void> {
    return this.#end("failed", error);
  }

  /** One timer a flow, looking whether there was a packet instead of moving with each. */
  #armTimer(delayMs: number): void {
    const { clock } = this.#options;
    this.#cancelTimer?.();
    this.#cancelTimer = clock.schedule(delayMs, () => {
      if (this.#byeAtMs !== undefined && this.#lastPacketMs <= this.#byeAtMs) {
        void this.#end("bye", undefined);
        return;
      }
      this.#byeAtMs = undefined;
      const leftMs = this.#lastPacketMs + this.#inactivityMs - clock.now();
      if (leftMs > 0) this.#armTimer(leftMs);
      else void this.#end("inactive", undefined);
    });
  }

  #nack(sequences: readonly number[]): void {
    if (this.#remote === undefined || this.#ssrc === undefined || this.#ending !== undefined) return;
    // RFC 3550 §6.1: a compound packet begins with a report.
    const bytes = concatBytes([
      serializeReceiverReport(this.#ownSsrc),
      serializeNack(this.#ownSsrc, this.#ssrc, sequences),
    ]);
    this.#options.sendRtcp(bytes, this.#remote, this.#rtcpRemote);
  }

  #end(reason: RtpFlowEnd, error: TonetapError | undefined): Promise<void> {
    this.#ending ??= this.#finish(reason, error);
    return this.#ending;
  }

  async #finish(reason: RtpFlowEnd, error: unknown): Promise<void> {
    this.#timedOut = reason === "inactive";
    this.#cancelTimer?.();
    this.#forgetSignal();
    try {
      await this.#options.onEnd(reason);
    } catch (failure) {
      error ??= failure;
    }
    this.#reports.complete();
    if (error === undefined) this.#packets.complete();
    else this.#packets.error(error);
  }
}

/** Closes `resource` when `signal` fires. The returned function forgets the signal, which may outlive the resource. */
export function closeOnAbort(resource: Closable, signal: AbortSignal | undefined): () => void {
  const onAbort = (): void => void resource.close();
  signal?.addEventListener("abort", onAbort, { once: true });
  return () => signal?.removeEventListener("abort", onAbort);
}
