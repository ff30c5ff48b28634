/** One participant's audio from a UDP port of its own: plain RTP from ffmpeg, GStreamer, a media server or a recorder. */
import { systemClock } from "../core/clock.ts";
import { assertRange } from "../core/errors.ts";
import { COMFORT_NOISE, type CodecMap, OPUS, PCMA, PCMU, RED_OPUS, TELEPHONE_EVENT } from "../core/rtp.ts";
import { DEFAULT_INACTIVITY_MS, RtpFlow } from "./rtp-flow.ts";
import { type UdpAddress, UdpRtpPort, type UdpRtpPortOptions, type UdpRtpStats } from "./udp-rtp-port.ts";

/** RFC 3551's static types, and the dynamic ones that browsers and ffmpeg commands use. */
export const DEFAULT_UDP_CODECS: CodecMap = new Map([
  [0, PCMU],
  [8, PCMA],
  [13, COMFORT_NOISE],
  [63, RED_OPUS],
  [101, TELEPHONE_EVENT],
  [111, OPUS],
]);

export interface UdpRtpSourceOptions extends UdpRtpPortOptions {
  /** Payload type → codec. Default {@link DEFAULT_UDP_CODECS}. */
  readonly codecs?: CodecMap;
  /** Ends after this long without a packet, counted from the first one, ms. 100–3,600,000, default 30,000. */
  readonly inactivityMs?: number;
  /** Closes the source when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Locks onto the address of the first valid packet; others are counted in `stats.foreign`. The SSRC may change.
 * `packets` completes after BYE, on inactivity, or when closed.
 */
export class UdpRtpSource extends RtpFlow {
  /** Where it listens. */
  readonly address: UdpAddress;
  readonly stats: Readonly<UdpRtpStats>;

  /** Takes over `port`. Use {@link createUdpRtpSource}. */
  constructor(port: UdpRtpPort, options: UdpRtpSourceOptions) {
    super({
      clock: options.clock ?? systemClock,
      codecs: options.codecs ?? DEFAULT_UDP_CODECS,
      inactivityMs: options.inactivityMs ?? DEFAULT_INACTIVITY_MS,
      stats: port.stats,
      sendRtcp: (bytes, rtp, rtcp) => port.sendRtcp(bytes, rtp, rtcp),
      signal: options.signal,
      onEnd: () => port.close(),
    });
    this.address = port.address;
    this.stats = port.stats;
    port.listen({
      onRtp: (packet, from) => this.take(packet, from),
      onRtcp: (report, from) => this.takeRtcp(report, from),
      onFailure: (error) => void this.fail(error),
    });
  }
}

/**
 * Binds a port and waits there for one peer.
 * @throws TonetapError invalid-argument for options out of range, unavailable when the port cannot be had.
 */
export async function createUdpRtpSource(options: UdpRtpSourceOptions): Promise<UdpRtpSource> {
  assertRange("inactivityMs", options.inactivityMs ?? DEFAULT_INACTIVITY_MS, 100, 3_600_000, "ms");
  const port = await UdpRtpPort.open(options);
  const source = new UdpRtpSource(port, options);
  if (options.signal?.aborted === true) await source.close();
  return source;
}
