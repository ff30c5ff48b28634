/**
 * One leg's audio as an AudioSource: listens where the SDP said, to whom the SDP named, until the call ends. What the SDP
 * says is sdp.ts, what ends a call is sip-call.ts, sockets are udp-rtp-port.ts.
 */
import type { RemoteInfo } from "node:dgram";
import { isIP } from "node:net";
import { type Observable, Subject } from "rxjs";
import type { AudioSource } from "../../core/audio-source.ts";
import type { Clock } from "../../core/clock.ts";
import type { TonetapError } from "../../core/errors.ts";
import type { AudioCodec, CodecMap, RtpPacket, SenderReport } from "../../core/rtp.ts";
import { LineSignals } from "../line-signals.ts";
import { DEFAULT_MAX_PACKETS_PER_SECOND, PacketRate } from "../packet-rate.ts";
import type { RtcpReport } from "../rtcp.ts";
import type { UdpAddress, UdpRtpPort, UdpRtpStats } from "../udp-rtp-port.ts";
import type { RemoteAudio } from "./sdp.ts";

/**
 * Whose media a leg takes.
 * - `signalled`: from the host that the SDP names, or the host that the signalling comes from, whatever the port (so
 *   that NAT and symmetric RTP work). The address that the SDP names exactly has precedence.
 * - `any`: the first sender of an agreed payload type; for media relays that send from elsewhere.
 */
export type MediaPeer = "signalled" | "any";

export interface SipSourceOptions {
  readonly clock: Clock;
  readonly port: UdpRtpPort;
  readonly mediaPeer: MediaPeer;
  /** Where the signalling comes from. */
  readonly signallingHost: string;
  /** ms without a packet after which the leg counts as dead, and as much on hold. */
  readonly inactivityMs: number;
  readonly holdMs: number;
  /** ms that other legs of the same call are waited for still: so long this one may be silent. */
  readonly othersPatienceMs?: () => number;
  /** Runs once, when it has ended for whatever reason. */
  readonly onEnd: () => void;
}

export interface SipSourceStats extends Readonly<UdpRtpStats> {
  /** RTP packets that came while the leg was on hold: music is nobody's voice. */
  readonly held: number;
}

export class SipSource implements AudioSource {
  readonly kind = "sip";
  /** Grows when a re-INVITE agrees on further payload types. */
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly line = new LineSignals();
  /** What its signalling says of consent, and keys that came there. */
  readonly signals = this.line.observable;

  readonly #options: SipSourceOptions;
  readonly #codecs = new Map<number, AudioCodec>();
  readonly #packets = new Subject<RtpPacket>();
  readonly #reports = new Subject<SenderReport>();
  readonly #rate = new PacketRate(DEFAULT_MAX_PACKETS_PER_SECOND);
  #announced: UdpAddress | undefined;
  #remote: UdpAddress | undefined;
  #ssrc: number | undefined;
  /** The latest report of an SSRC that has sent no packet yet. */
  #early: SenderReport | undefined;
  #onHold = false;
  #held = 0;
  #lastActivityMs: number;
  #cancelTimer: () => void;
  #timedOut = false;
  #closing: Promise<void> | undefined;

  /** Takes over the port. */
  constructor(options: SipSourceOptions) {
    this.#options = options;
    this.codecs = this.#codecs;
    this.packets = this.#packets.asObservable();
    this.senderReports = this.#reports.asObservable();
    this.#lastActivityMs = options.clock.now();
    this.#cancelTimer = options.clock.schedule(options.inactivityMs, () => this.#checkActivity());
    options.port.listen({
      onRtp: (packet, from) => this.#take(packet, from),
      onRtcp: (report, from) => this.#takeRtcp(report, from),
      onFailure: (error) => void this.#end(error),
    });
  }

  /** Where it listens for RTP. */
  get address(): UdpAddress {
    return this.#options.port.address;
  }

  /** ms that are left before it counts as dead. */
  get patienceMs(): number {
    const { clock, inactivityMs, holdMs } = this.#options;
    return this.#lastActivityMs + (this.#onHold ? holdMs : inactivityMs) - clock.now();
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  /** The peer has put the leg on hold: nothing is passed on. */
  get onHold(): boolean {
    return this.#onHold;
  }

  /** Who is listened to: the sender of the first fitting packet since the last offer. */
  get remote(): UdpAddress | undefined {
    return this.#remote;
  }

  get refused(): Readonly<Record<string, number>> {
    const { refused } = this.#options.port;
    return this.#held === 0 ? refused : { ...refused, "on-hold": this.#held };
  }

  get stats(): SipSourceStats {
    return { ...this.#options.port.stats, held: this.#held };
  }

  /** What was agreed, at first and in each later offer and answer. */
  agree(remote: Pick<RemoteAudio, "host" | "port">, codecs: CodecMap, onHold: boolean): void {
    // RFC 3264 §8.3.2: a payload type keeps its meaning as long as the session lasts.
    for (const [payloadType, codec] of codecs) this.#codecs.set(payloadType, codec);
    // Who moved, or whose address is translated anew, is found again by its next packet.
    this.#remote = undefined;
    this.#announced = { host: remote.host, port: remote.port };
    this.#onHold = onHold;
    this.#lastActivityMs = this.#options.clock.now();
    this.#armTimer();
  }

  /** `packets` completes once the port is released; a failure to release makes it error instead. */
  close(): Promise<void> {
    return this.#end(undefined);
  }

  /** Closes it because the peer has gone without a word. */
  expire(): Promise<void> {
    if (!this.closed) this.#timedOut = true;
    return this.close();
  }

  #end(error: TonetapError | undefined): Promise<void> {
    if (this.#closing === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      // Before anybody is told, so that who closes it then finds it closed.
      this.#closing = promise;
      void this.#finish(error).finally(resolve);
    }
    return this.#closing;
  }

  async #finish(error: unknown): Promise<void> {
    this.#cancelTimer();
    this.#options.onEnd();
    try {
      await this.#options.port.close();
    } catch (failure) {
      error ??= failure;
    }
    this.#reports.complete();
    this.line.end();
    if (error === undefined) this.#packets.complete();
    else this.#packets.error(error);
  }

  #take(packet: RtpPacket, from: RemoteInfo): void {
    const { stats } = this.#options.port;
    if (this.closed) return;
    if (!this.#accepts(packet, from)) {
      stats.foreign++;
      return;
    }
    this.#lastActivityMs = packet.arrivalMs;
    if (!this.#rate.admit(packet.arrivalMs)) {
      stats.overRate++;
      return;
    }
    if (this.#onHold) {
      this.#held++;
      return;
    }
    if (!this.#packets.observed) {
      stats.unread++;
      return;
    }
    const news = packet.ssrc !== this.#ssrc;
    this.#ssrc = packet.ssrc;
    stats.packets++;
    this.#packets.next(packet);
    const early = this.#early;
    if (!news || early?.ssrc !== packet.ssrc) return;
    this.#early = undefined;
    this.#reports.next(early);
  }

  #accepts(packet: RtpPacket, from: RemoteInfo): boolean {
    const remote = this.#remote;
    if (remote !== undefined && from.port === remote.port && from.address === remote.host) return true;
    const exact = from.port === this.#announced?.port && from.address === this.#announced.host;
    // Once somebody is listened to, only who the SDP names exactly can take over: the port's former peer may still send.
    if (remote !== undefined && !exact) return false;
    if (!exact && !this.#mayBePeer(from.address)) return false;
    if (!this.#codecs.has(packet.payloadType)) return false;
    this.#remote = { host: from.address, port: from.port };
    return true;
  }

  #mayBePeer(host: string): boolean {
    const { mediaPeer, signallingHost } = this.#options;
    const announced = this.#announced?.host ?? "";
    // A name is not looked up: its address would be a guess.
    return mediaPeer === "any" || host === announced || host === signallingHost || isIP(announced) === 0;
  }

  #takeRtcp(report: RtcpReport, from: RemoteInfo): void {
    if (this.closed) return;
    if (this.#remote === undefined ? !this.#mayBePeer(from.address) : from.address !== this.#remote.host) {
      this.#options.port.stats.foreign++;
      return;
    }
    this.#lastActivityMs = this.#options.clock.now();
    // A BYE of RTCP ends a stream, not a call: SIP has a BYE of its own.
    for (const senderReport of report.senderReports) {
      if (senderReport.ssrc === this.#ssrc) this.#reports.next(senderReport);
      else this.#early = senderReport;
    }
  }

  #armTimer(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.schedule(this.#timerMs(), () => this.#checkActivity());
  }

  /** One timer a leg, looking whether there was a packet instead of moving with each. */
  #checkActivity(): void {
    if (this.#timerMs() > 0) this.#armTimer();
    else void this.expire();
  }

  #timerMs(): number {
    return Math.max(this.patienceMs, this.#options.othersPatienceMs?.() ?? 0);
  }
}
