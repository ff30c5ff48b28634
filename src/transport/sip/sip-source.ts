/**
 * One leg's audio as it is received on this thread. What the SDP says is sdp.ts, what ends a call is sip-call.ts, sockets
 * are udp-rtp-port.ts.
 */
import type { RemoteInfo } from "node:dgram";
import { isIP } from "node:net";
import { type Observable, Subject } from "rxjs";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { AudioCodec, CodecMap, RtpPacket, SenderReport } from "../../core/rtp.ts";
import { LineSignals } from "../line-signals.ts";
import { DEFAULT_MAX_PACKETS_PER_SECOND, PacketRate } from "../packet-rate.ts";
import type { RtcpReport } from "../rtcp.ts";
import { type UdpAddress, UdpRtpPort, type UdpRtpStats } from "../udp-rtp-port.ts";
import type { SipAgreement, SipReception, SipReceptionOptions, SipVoice } from "./sip-reception.ts";
import { VoiceSource } from "./siprec/voice-source.ts";

export interface SipSourceOptions extends SipReceptionOptions {
  readonly clock: Clock;
  /** Memory of {@link SipReception.lastHeardMs}, where another thread reads it. */
  readonly heard?: Float64Array;
  /** Runs once, when it has ended for whatever reason. */
  readonly onEnd: (error?: TonetapError) => void;
}

export interface SipSourceStats extends Readonly<UdpRtpStats> {
  /** RTP packets that came while the leg was on hold: music is nobody's voice. */
  readonly held: number;
}

export class SipSource implements SipReception {
  readonly kind = "sip";
  /** Grows when a re-INVITE agrees on further payload types. */
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly line = new LineSignals();
  /** What its signalling says of consent, and keys that came there. */
  readonly signals = this.line.observable;

  readonly #options: SipSourceOptions;
  readonly #port: UdpRtpPort;
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
  readonly #heard: Float64Array;
  #timedOut = false;
  #closing: Promise<void> | undefined;

  private constructor(port: UdpRtpPort, options: SipSourceOptions) {
    this.#port = port;
    this.#options = options;
    this.#heard = options.heard ?? new Float64Array(1);
    this.codecs = this.#codecs;
    this.packets = this.#packets.asObservable();
    this.senderReports = this.#reports.asObservable();
    port.listen({
      onRtp: (packet, from) => this.#take(packet, from),
      onRtcp: (report, from) => this.#takeRtcp(report, from),
      onFailure: (error) => void this.#end(error),
    });
  }

  /** @throws TonetapError unavailable when the port cannot be had */
  static async open(options: SipSourceOptions): Promise<SipSource> {
    const { clock, host, port, rtcp } = options;
    return new SipSource(await UdpRtpPort.open({ clock, host, port, rtcp }), options);
  }

  /** Where it listens for RTP. */
  get address(): UdpAddress {
    return this.#port.address;
  }

  get lastHeardMs(): number {
    return this.#heard[0] ?? 0;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  /** Who is listened to: the sender of the first fitting packet since the last offer. */
  get remote(): UdpAddress | undefined {
    return this.#remote;
  }

  get refused(): Readonly<Record<string, number>> {
    const { refused } = this.#port;
    return this.#held === 0 ? refused : { ...refused, "on-hold": this.#held };
  }

  get stats(): SipSourceStats {
    return { ...this.#port.stats, held: this.#held };
  }

  async agree({ announced, codecs, onHold, key }: SipAgreement): Promise<void> {
    if (key !== undefined) this.#port.secure({ remote: key });
    // RFC 3264 §8.3.2: a payload type keeps its meaning as long as the session lasts.
    for (const [payloadType, codec] of codecs) this.#codecs.set(payloadType, codec);
    // Who moved, or whose address is translated anew, is found again by its next packet.
    this.#remote = undefined;
    this.#announced = announced;
    this.#onHold = onHold;
  }

  async voice(onClosed: () => void): Promise<SipVoice> {
    return new VoiceSource(this, onClosed);
  }

  /** `packets` completes once the port is released; a failure to release makes it error instead. */
  close(): Promise<void> {
    return this.#end(undefined);
  }

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

  async #finish(error: TonetapError | undefined): Promise<void> {
    this.#options.onEnd(error);
    try {
      await this.#port.close();
    } catch (failure) {
      error ??= TonetapError.from(failure);
    }
    this.#reports.complete();
    this.line.end();
    if (error === undefined) this.#packets.complete();
    else this.#packets.error(error);
  }

  #take(packet: RtpPacket, from: RemoteInfo): void {
    const { stats } = this.#port;
    if (this.closed) return;
    if (!this.#accepts(packet, from)) {
      stats.foreign++;
      return;
    }
    this.#heard[0] = packet.arrivalMs;
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
      this.#port.stats.foreign++;
      return;
    }
    this.#heard[0] = this.#options.clock.now();
    // A BYE of RTCP ends a stream, not a call: SIP has a BYE of its own.
    for (const senderReport of report.senderReports) {
      if (senderReport.ssrc === this.#ssrc) this.#reports.next(senderReport);
      else this.#early = senderReport;
    }
  }
}
