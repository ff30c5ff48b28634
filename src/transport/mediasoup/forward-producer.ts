/**
 * The scale-out case: mediasoup here, Tonetap in another process or on another machine. Sends a producer's RTP there by
 * a PlainTransport; what receives it is a plain RTP source (udp-rtp-source.ts).
 */
import { isIP } from "node:net";
import { assertRange, TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { CodecMap } from "../../core/rtp.ts";
import {
  assertAudio,
  attempt,
  audioLevelIdOf,
  codecsOf,
  consumeAudio,
  TRANSPORT_APP_DATA,
} from "./consume-audio.ts";
import type {
  MediasoupConsumer,
  MediasoupPlainTransport,
  MediasoupProducer,
  MediasoupRouter,
} from "./mediasoup-types.ts";

export interface ForwardOptions {
  /** IP address of the receiver. */
  readonly host: string;
  /** RTP and RTCP both go there (RFC 5761). 1–65,535. */
  readonly port: number;
  /** IP address that mediasoup sends from. Default `127.0.0.1`, which reaches this machine only. */
  readonly listenIp?: string;
}

export class ForwardedProducer implements Closable, AsyncDisposable {
  /** What the receiver must know: the router's payload types. */
  readonly codecs: CodecMap;
  /** Id of the RFC 6464 audio level, if it is sent. */
  readonly audioLevelId: number | undefined;
  readonly #transport: MediasoupPlainTransport;
  readonly #consumer: MediasoupConsumer;
  #closed = false;

  constructor(transport: MediasoupPlainTransport, consumer: MediasoupConsumer) {
    this.#transport = transport;
    this.#consumer = consumer;
    this.codecs = codecsOf(consumer.rtpParameters);
    this.audioLevelId = audioLevelIdOf(consumer.rtpParameters);
    consumer.observer.on("close", this.#onEnd);
  }

  /** Whether it has ended: by close(), or because producer, router or worker closed. */
  get closed(): boolean {
    return this.#closed;
  }

  close(): Promise<void> {
    this.#onEnd();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #onEnd = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.#consumer.observer.off("close", this.#onEnd);
    this.#transport.close();
  };
}

/**
 * Sends `producer` to `host:port` until one of them closes. mediasoup says no BYE and sends nothing while the producer
 * is paused: how long the receiver waits is its `inactivityMs`.
 * @throws TonetapError invalid-argument, media for a codec that cannot be decoded, closed, unavailable
 */
export async function forwardProducer(
  router: MediasoupRouter,
  producer: MediasoupProducer,
  options: ForwardOptions,
): Promise<ForwardedProducer> {
  const { host, port, listenIp = "127.0.0.1" } = options;
  if (isIP(host) === 0) {
    throw new TonetapError("invalid-argument", `host must be an IP address, got ${JSON.stringify(host)}`);
  }
  assertRange("port", port, 1, 65_535);
  assertAudio(producer);
  const transport = await attempt(router, producer, () =>
    router.createPlainTransport({
      listenInfo: { protocol: "udp", ip: listenIp },
      rtcpMux: true,
      comedia: false,
      appData: { ...TRANSPORT_APP_DATA },
    }),
  );
  try {
    await attempt(router, producer, () => transport.connect({ ip: host, port }));
    const consumer = await consumeAudio(router, transport, producer);
    const forwarded = new ForwardedProducer(transport, consumer);
    await attempt(router, producer, () => consumer.resume());
    return forwarded;
  } catch (error) {
    transport.close();
    throw error;
  }
}
