/** One participant's audio from a UDP port of its own: plain RTP from ffmpeg, GStreamer, a media server or a recorder. */
import { systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import { COMFORT_NOISE, type CodecMap, OPUS, PCMA, PCMU, RED_OPUS, TELEPHONE_EVENT } from "../core/rtp.ts";
import { assertPeerOptions, RtpFlow, type RtpPeerOptions } from "./rtp-flow.ts";
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

export interface UdpRtpSourceOptions extends UdpRtpPortOptions, RtpPeerOptions {
  /** Payload type → codec. Default {@link DEFAULT_UDP_CODECS}. */
  readonly codecs?: CodecMap;
  /** Fails with `timeout` when no packet has come after this long, ms. 100–86,400,000; default: waits for ever. */
  readonly armingMs?: number;
  /** Closes the source when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Locks onto the address of the first valid packet; others are counted in `stats.foreign`. The SSRC may change.
 * `packets` completes after BYE, on inactivity, or when closed; it errors when nobody ever sent within `armingMs`.
 */
export class UdpRtpSource extends RtpFlow {
  /** Where it listens. */
  readonly address: UdpAddress;
  readonly stats: Readonly<UdpRtpStats>;
  readonly #port: UdpRtpPort;

  /** Takes over `port`. Use {@link createUdpRtpSource}. */
  constructor(port: UdpRtpPort, options: UdpRtpSourceOptions) {
    super({
      ...options,
      clock: options.clock ?? systemClock,
      codecs: options.codecs ?? DEFAULT_UDP_CODECS,
      arming:
        options.armingMs === undefined
          ? undefined
          : { ms: options.armingMs, failure: () => neverSent(port, options) },
      stats: port.stats,
      sendRtcp: (bytes, rtp, rtcp) => port.sendRtcp(bytes, rtp, rtcp),
      signal: options.signal,
      onEnd: () => port.close(),
    });
    this.#port = port;
    this.address = port.address;
    this.stats = port.stats;
    port.listen({
      onRtp: (packet, from) => this.take(packet, from),
      onRtcp: (report, from) => this.takeRtcp(report, from),
      onFailure: (error) => void this.fail(error),
    });
  }

  /** Of one peer alone, all that its port refused. */
  override get refused(): Readonly<Record<string, number>> {
    return this.#port.refused;
  }
}

/**
 * Binds a port and waits there for one peer.
 * @throws TonetapError invalid-argument for options out of range, unavailable when the port cannot be had.
 */
export async function createUdpRtpSource(options: UdpRtpSourceOptions): Promise<UdpRtpSource> {
  assertPeerOptions(options);
  if (options.armingMs !== undefined) assertRange("armingMs", options.armingMs, 100, 86_400_000, "ms");
  const port = await UdpRtpPort.open(options);
  const source = new UdpRtpSource(port, options);
  if (options.signal?.aborted === true) await source.close();
  return source;
}

/** Says what did come, if anything: a wrong key and a wrong port look alike from the sender's side. */
function neverSent(port: UdpRtpPort, { armingMs, srtp }: UdpRtpSourceOptions): TonetapError {
  const { address, stats } = port;
  const where = `${address.host}:${address.port} within ${armingMs} ms`;
  const forged = stats.srtp["not-authentic"];
  if (srtp !== undefined && forged > 0) {
    return new TonetapError(
      "protocol",
      `nothing authentic came to ${where}: ${forged} packets were not protected with the ${srtp.remote.suite} key given`,
    );
  }
  return new TonetapError("timeout", `no RTP of a known payload type came to ${where}`);
}
