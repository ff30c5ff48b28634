/**
 * Tells the sender how its audio arrives, once a second: browsers send FEC by it. Where werift itself reads the media it
 * does this itself.
 */
import { type RTCDtlsTransport, RtcpReceiverInfo, RtcpRrPacket } from "werift";
import type { Clock } from "../../core/clock.ts";
import type { CodecMap, RtpPacket, SenderReport } from "../../core/rtp.ts";
import { Reception } from "../reception.ts";

const REPORT_EVERY_MS = 1_000;
/** Blocks in a report. RFC 3550 §6.4.2; a publisher of audio has one SSRC at a time. */
const MAX_STREAMS = 31;

export class ReceiverReports {
  readonly #transport: RTCDtlsTransport;
  readonly #ssrc: number;
  readonly #codecs: CodecMap;
  readonly #clock: Clock;
  readonly #streams = new Map<number, Reception>();
  #cancel: (() => void) | undefined;
  #unsent = 0;

  /** @param ssrc our own */
  constructor(transport: RTCDtlsTransport, ssrc: number, codecs: CodecMap, clock: Clock) {
    this.#transport = transport;
    this.#ssrc = ssrc;
    this.#codecs = codecs;
    this.#clock = clock;
  }

  /** Reports that the transport refused. */
  get unsent(): number {
    return this.#unsent;
  }

  take(packet: RtpPacket): void {
    const known = this.#streams.get(packet.ssrc);
    if (known !== undefined) known.take(packet);
    else this.#begin(packet);
  }

  takeReport(report: SenderReport): void {
    this.#streams.get(report.ssrc)?.takeReport(report);
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #begin(packet: RtpPacket): void {
    const codec = this.#codecs.get(packet.payloadType);
    if (codec === undefined || this.#streams.size >= MAX_STREAMS) return;
    const reception = new Reception(codec.clockRateHz);
    reception.take(packet);
    this.#streams.set(packet.ssrc, reception);
    this.#cancel ??= this.#clock.repeat(REPORT_EVERY_MS, () => this.#send());
  }

  #send(): void {
    if (this.#transport.state !== "connected") return;
    const now = this.#clock.now();
    const reports = [...this.#streams].map(([ssrc, stream]) => {
      const { lastSenderReport, delaySinceLastSenderReport, ...report } = stream.report(now);
      return new RtcpReceiverInfo({
        ...report,
        ssrc,
        lsr: lastSenderReport,
        dlsr: delaySinceLastSenderReport,
      });
    });
    this.#transport.sendRtcp([new RtcpRrPacket({ ssrc: this.#ssrc, reports })]).catch(() => {
      this.#unsent++;
    });
  }
}
