/**
 * The parts of mediasoup's objects that this adapter touches. mediasoup itself is never imported: the program brings
 * its router. test/peers/mediasoup proves that mediasoup's own types fit these.
 */

/** One event of an emitter. */
interface Emits<Name extends string, Args extends readonly unknown[] = []> {
  on(event: Name, listener: (...args: Args) => void): unknown;
  off(event: Name, listener: (...args: Args) => void): unknown;
}

export interface MediasoupRtpParameters {
  readonly codecs: readonly {
    readonly mimeType: string;
    readonly payloadType: number;
    readonly clockRate: number;
    readonly channels?: number;
  }[];
  readonly headerExtensions?: readonly { readonly uri: string; readonly id: number }[];
  readonly encodings?: readonly { readonly ssrc?: number }[];
}

/** Handed from the router to its transports, never read. */
export interface MediasoupRtpCapabilities {
  readonly codecs?: readonly object[];
  readonly headerExtensions?: readonly object[];
}

/** What a producer can be asked to report. */
export type MediasoupTraceType = "rtp" | "keyframe" | "nack" | "pli" | "fir" | "sr";

/** What `enableTraceEvent` gives. */
export interface MediasoupTrace {
  readonly type: string;
  readonly info: Readonly<Record<string, unknown>>;
}

export interface MediasoupProducer {
  readonly id: string;
  readonly kind: string;
  readonly closed: boolean;
  readonly paused: boolean;
  /** What the program hung on it: who speaks, as a rule. */
  readonly appData: Readonly<Record<string, unknown>>;
  readonly observer: Emits<"close"> & Emits<"trace", [trace: MediasoupTrace]>;
  dump(): Promise<{ readonly traceEventTypes: readonly string[] }>;
  enableTraceEvent(types: MediasoupTraceType[]): Promise<void>;
}

export interface MediasoupConsumer extends Emits<"rtp", [packet: Uint8Array]> {
  readonly closed: boolean;
  readonly rtpParameters: MediasoupRtpParameters;
  readonly observer: Emits<"close">;
  resume(): Promise<void>;
  close(): void;
}

/** Any transport: the producers of a room come through it. */
export interface MediasoupTransport {
  readonly closed: boolean;
  readonly appData: Readonly<Record<string, unknown>>;
  readonly observer: Emits<"close"> & Emits<"newproducer", [producer: MediasoupProducer]>;
}

/** A transport that this adapter made. */
export interface MediasoupConsumingTransport {
  readonly observer: Emits<"close">;
  consume(options: {
    readonly producerId: string;
    readonly rtpCapabilities: MediasoupRtpCapabilities;
    readonly paused?: boolean;
  }): Promise<MediasoupConsumer>;
  close(): void;
}

export interface MediasoupPlainTransport extends MediasoupConsumingTransport {
  connect(remote: { readonly ip: string; readonly port: number }): Promise<void>;
}

/** `workerclose`: its worker has died or was closed; after the ends of all that was on it, in the same turn. */
export interface MediasoupRouter extends Emits<"workerclose"> {
  readonly closed: boolean;
  readonly rtpCapabilities: MediasoupRtpCapabilities;
  readonly observer: Emits<"close"> & Emits<"newtransport", [transport: MediasoupTransport]>;
  createDirectTransport(options?: {
    readonly appData?: Record<string, unknown>;
  }): Promise<MediasoupConsumingTransport>;
  createPlainTransport(options: {
    readonly listenInfo: { readonly protocol: "udp"; readonly ip: string };
    readonly rtcpMux?: boolean;
    readonly comedia?: boolean;
    readonly appData?: Record<string, unknown>;
  }): Promise<MediasoupPlainTransport>;
}
