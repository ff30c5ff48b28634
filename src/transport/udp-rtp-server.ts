/** Many participants on one UDP port, told apart by SSRC. One peer's behaviour never touches another's flow. */
import type { RemoteInfo } from "node:dgram";
import { type Observable, Subject } from "rxjs";
import { systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { CodecMap, RtpPacket } from "../core/rtp.ts";
import { HostRule } from "./host-rule.ts";
import type { RtcpReport } from "./rtcp.ts";
import {
  assertPeerOptions,
  closeOnAbort,
  RtpFlow,
  type RtpFlowEnd,
  type RtpPeerOptions,
} from "./rtp-flow.ts";
import { type UdpAddress, UdpRtpPort, type UdpRtpPortOptions, type UdpRtpStats } from "./udp-rtp-port.ts";
import { DEFAULT_UDP_CODECS } from "./udp-rtp-source.ts";

export interface UdpRtpServerOptions extends UdpRtpPortOptions, RtpPeerOptions {
  /** Payload type → codec, of all participants. Default {@link DEFAULT_UDP_CODECS}. */
  readonly codecs?: CodecMap;
  /**
   * Who may bring newcomers, so that strangers who make up SSRCs cannot use up `maxSources`. `first` (default): the host
   * of the first newcomer, such as a media server that forwards a room; `any`; or these IP addresses.
   */
  readonly hosts?: "first" | "any" | readonly string[];
  /** Participants of one host at a time, 1–65,536; default `maxSources`. Those beyond are counted in `refused`. */
  readonly maxSourcesPerHost?: number;
  /** Participants at a time, 1–65,536, default 1,024; those beyond are counted in `refused`. */
  readonly maxSources?: number;
  /** Closes the server when aborted. */
  readonly signal?: AbortSignal;
}

const DEFAULT_MAX_SOURCES = 1024;
/** SSRCs that SRTP remembers for as long as the port is open, so that those that left cannot be replayed. */
const MAX_SRTP_SOURCES = 65_536;
/** Reports kept for senders that have sent nothing yet; the oldest is forgotten first. */
const MAX_EARLY_REPORTS = 256;

/** A newcomer on a shared port. */
export interface UdpRtpArrival {
  readonly ssrc: number;
  /** Subscribe to its packets before returning, and the first one is not missed. */
  readonly source: RtpFlow;
}

export class UdpRtpServer implements Closable, AsyncDisposable {
  /** Where it listens. */
  readonly address: UdpAddress;
  readonly stats: Readonly<UdpRtpStats>;
  /** SSRCs that nobody asked for with source(). While this is not subscribed, they are dropped as foreign. */
  readonly arrivals: Observable<UdpRtpArrival>;

  readonly #port: UdpRtpPort;
  readonly #options: UdpRtpServerOptions;
  readonly #codecs: CodecMap;
  readonly #maxSources: number;
  readonly #hosts: HostRule;
  readonly #arrivals = new Subject<UdpRtpArrival>();
  readonly #flows = new Map<number, RtpFlow>();
  /** SSRCs that we closed: their senders go on, but they are no newcomers. The oldest is forgotten first. */
  readonly #dismissed = new Set<number>();
  /** RTCP that came before its sender's first packet. */
  readonly #early = new Map<number, { readonly report: RtcpReport; readonly from: RemoteInfo }>();
  readonly #forgetSignal: () => void;
  #refused = 0;
  #closing: Promise<void> | undefined;

  /** Takes over `port`. Use {@link createUdpRtpServer}. */
  constructor(port: UdpRtpPort, options: UdpRtpServerOptions) {
    this.#port = port;
    this.#options = options;
    this.#codecs = options.codecs ?? DEFAULT_UDP_CODECS;
    this.#maxSources = options.maxSources ?? DEFAULT_MAX_SOURCES;
    this.#hosts = new HostRule(options.hosts ?? "first", options.maxSourcesPerHost ?? this.#maxSources);
    this.address = port.address;
    this.stats = port.stats;
    this.arrivals = this.#arrivals.asObservable();
    port.listen({
      onRtp: (packet, from) => this.#take(packet, from),
      onRtcp: (report, from) => this.#takeRtcp(report, from),
      onFailure: (error) => void this.#end(error),
    });
    this.#forgetSignal = closeOnAbort(this, options.signal);
  }

  /** Participants at present. */
  get size(): number {
    return this.#flows.size;
  }

  /** Packets of newcomers beyond `maxSources` or `maxSourcesPerHost`. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * The participant with this SSRC, expected or already there.
   * @throws TonetapError overloaded beyond `maxSources`, closed after close().
   */
  source(ssrc: number): RtpFlow {
    assertRange("ssrc", ssrc, 0, 2 ** 32 - 1);
    if (this.#closing !== undefined) throw new TonetapError("closed", "the RTP server is closed");
    const known = this.#flows.get(ssrc);
    if (known !== undefined) return known;
    if (this.#flows.size >= this.#maxSources) {
      throw new TonetapError("overloaded", `the RTP server has ${this.#maxSources} sources already`);
    }
    this.#dismissed.delete(ssrc);
    return this.#add(ssrc);
  }

  close(): Promise<void> {
    return this.#end(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #take(packet: RtpPacket, from: RemoteInfo): void {
    const flow = this.#flows.get(packet.ssrc) ?? this.#arrive(packet, from.address);
    flow?.take(packet, from);
  }

  #arrive({ ssrc, payloadType }: RtpPacket, host: string): RtpFlow | undefined {
    const wanted = this.#arrivals.observed && this.#codecs.has(payloadType) && !this.#dismissed.has(ssrc);
    if (!wanted || !this.#hosts.allows(host) || this.#closing !== undefined) {
      this.#port.stats.foreign++;
      return undefined;
    }
    if (this.#flows.size >= this.#maxSources || this.#hosts.isFull(host)) {
      this.#refused++;
      return undefined;
    }
    const source = this.#add(ssrc, host);
    this.#arrivals.next({ ssrc, source });
    return source;
  }

  #takeRtcp(report: RtcpReport, from: RemoteInfo): void {
    const ssrcs = new Set([...report.senderReports.map(({ ssrc }) => ssrc), ...report.byes]);
    for (const ssrc of ssrcs) {
      const flow = this.#flows.get(ssrc);
      if (flow !== undefined) flow.takeRtcp(report, from);
      else if (this.#arrivals.observed) {
        this.#early.set(ssrc, { report, from });
        if (this.#early.size > MAX_EARLY_REPORTS) dropOldest(this.#early);
      }
    }
  }

  /** @param host who brought it; undefined for a participant that was asked for. */
  #add(ssrc: number, host?: string): RtpFlow {
    const { inactivityMs, maxPacketsPerSecond } = this.#options;
    if (host !== undefined) this.#hosts.enter(host);
    const flow = new RtpFlow({
      clock: this.#options.clock ?? systemClock,
      codecs: this.#codecs,
      ...(inactivityMs === undefined ? {} : { inactivityMs }),
      ...(maxPacketsPerSecond === undefined ? {} : { maxPacketsPerSecond }),
      stats: this.#port.stats,
      sendRtcp: (bytes, rtp, rtcp) => this.#port.sendRtcp(bytes, rtp, rtcp),
      onEnd: async (reason) => {
        if (host !== undefined) this.#hosts.leave(host);
        this.#remove(ssrc, reason);
      },
    });
    this.#flows.set(ssrc, flow);
    const early = this.#early.get(ssrc);
    if (early !== undefined) flow.takeRtcp(early.report, early.from);
    this.#early.delete(ssrc);
    return flow;
  }

  #remove(ssrc: number, reason: RtpFlowEnd): void {
    this.#flows.delete(ssrc);
    if (reason !== "closed" || this.#closing !== undefined) return;
    this.#dismissed.add(ssrc);
    if (this.#dismissed.size > this.#maxSources) dropOldest(this.#dismissed);
  }

  #end(error: TonetapError | undefined): Promise<void> {
    this.#closing ??= this.#finish(error);
    return this.#closing;
  }

  async #finish(error: TonetapError | undefined): Promise<void> {
    this.#forgetSignal();
    await this.#port.close();
    const flows = [...this.#flows.values()];
    await Promise.all(flows.map((flow) => (error === undefined ? flow.close() : flow.fail(error))));
    this.#arrivals.complete();
  }
}

/**
 * Binds a port for many participants.
 * @throws TonetapError invalid-argument for options out of range, unavailable when the port cannot be had.
 */
export async function createUdpRtpServer(options: UdpRtpServerOptions): Promise<UdpRtpServer> {
  assertPeerOptions(options);
  assertRange("maxSources", options.maxSources ?? DEFAULT_MAX_SOURCES, 1, 65_536);
  if (options.maxSourcesPerHost !== undefined)
    assertRange("maxSourcesPerHost", options.maxSourcesPerHost, 1, 65_536);
  const { srtp } = options;
  const port = await UdpRtpPort.open({
    ...options,
    ...(srtp === undefined ? {} : { srtp: { maxSources: MAX_SRTP_SOURCES, ...srtp } }),
  });
  const server = new UdpRtpServer(port, options);
  if (options.signal?.aborted === true) await server.close();
  return server;
}

/** Sets and maps keep the order of insertion. */
function dropOldest(collection: Pick<Map<number, unknown>, "keys" | "delete">): void {
  const oldest = collection.keys().next();
  if (oldest.done !== true) collection.delete(oldest.value);
}
