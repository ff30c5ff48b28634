/**
 * One participant's audio out of a mediasoup router, by a consumer on a DirectTransport. Owns that transport; the
 * program's own objects it leaves as they are. Which producers a participant has is attach-router.ts.
 */
import { Observable, Subject } from "rxjs";
import type { AudioSource } from "../../core/audio-source.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import type { AudioCodec, CodecMap, RtpPacket, SenderReport } from "../../core/rtp.ts";
import { assertAudio, attempt, codecsOf, consumeAudio, TRANSPORT_APP_DATA } from "./consume-audio.ts";
import type { MediasoupConsumingTransport, MediasoupProducer, MediasoupRouter } from "./mediasoup-types.ts";
import { ProducerTap } from "./producer-tap.ts";

export interface ProducerSourceOptions {
  readonly clock?: Clock;
  /**
   * Takes the sender's wall clock from its RTCP sender reports, by the producer's `sr` trace event. Default true; false
   * leaves the producer's trace events alone, and wall times rest on packet arrival.
   */
  readonly senderReports?: boolean;
  /**
   * Ends the source after this long without a packet of a producer that is not paused, ms: its peer is gone, and nobody
   * closed its transport. 1,000–3,600,000. Default: never, a muted microphone may send nothing. A producer that ended so
   * is not attached again.
   */
  readonly inactivityMs?: number;
}

export class ProducerSource implements AudioSource, AsyncDisposable {
  readonly kind = "mediasoup";
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly #codecs = new Map<number, AudioCodec>();
  readonly #router: MediasoupRouter;
  readonly #transport: MediasoupConsumingTransport;
  readonly #clock: Clock;
  readonly #wantsReports: boolean;
  readonly #endsWithProducer: boolean;
  readonly #packets = new Subject<RtpPacket>();
  readonly #reports = new Subject<SenderReport>();
  #tap: ProducerTap | undefined;
  #lastPacketMs: number;
  #cancelTimer: (() => void) | undefined;
  #timedOut = false;
  #workerGone = false;
  #closed = false;

  private constructor(
    router: MediasoupRouter,
    transport: MediasoupConsumingTransport,
    endsWithProducer: boolean,
    options: ProducerSourceOptions,
  ) {
    this.#router = router;
    this.#transport = transport;
    this.#endsWithProducer = endsWithProducer;
    this.#clock = options.clock ?? systemClock;
    this.#wantsReports = options.senderReports ?? true;
    this.#lastPacketMs = this.#clock.now();
    this.senderReports = this.#reports.asObservable();
    this.packets = new Observable((subscriber) => {
      const subscription = this.#packets.subscribe(subscriber);
      this.#resume();
      return subscription;
    });
    // The router, its worker, or the program closed it.
    transport.observer.on("close", this.#onTransportClose);
    router.on("workerclose", this.#onWorkerGone);
    if (options.inactivityMs !== undefined) this.#armTimer(options.inactivityMs);
  }

  /**
   * @param endsWithProducer false: outlives its producer and waits for {@link follow} or {@link close}.
   * @throws as {@link sourceFromProducer}
   */
  static async open(
    router: MediasoupRouter,
    producer: MediasoupProducer,
    endsWithProducer: boolean,
    options: ProducerSourceOptions,
  ): Promise<ProducerSource> {
    assertAudio(producer);
    if (options.inactivityMs !== undefined) {
      assertRange("inactivityMs", options.inactivityMs, 1_000, 3_600_000, "ms");
    }
    const transport = await attempt(router, producer, () =>
      router.createDirectTransport({ appData: { ...TRANSPORT_APP_DATA } }),
    );
    const source = new ProducerSource(router, transport, endsWithProducer, options);
    try {
      await source.follow(producer);
    } catch (error) {
      await source.close();
      throw error;
    }
    return source;
  }

  get codecs(): CodecMap {
    return this.#codecs;
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  /** Whether it has ended. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The producer that it listens to. */
  get producer(): MediasoupProducer | undefined {
    return this.#tap?.producer;
  }

  /**
   * Goes over to `producer`, the present one staying on until it is there; its packets have an SSRC of their own. One
   * call at a time.
   * @throws as {@link sourceFromProducer}; the present producer stays on then.
   */
  async follow(producer: MediasoupProducer): Promise<void> {
    assertAudio(producer);
    const consumer = await consumeAudio(this.#router, this.#transport, producer).catch((error: unknown) => {
      // Its transport has closed with it: that is no news.
      if (!this.#closed) throw error;
    });
    if (consumer === undefined || this.#closed) {
      consumer?.close();
      return;
    }
    for (const [payloadType, codec] of codecsOf(consumer.rtpParameters)) this.#codecs.set(payloadType, codec);
    this.#tap?.close();
    this.#tap = new ProducerTap(producer, consumer, this.#clock, {
      onPacket: (packet) => {
        this.#lastPacketMs = packet.arrivalMs;
        this.#packets.next(packet);
      },
      onReport: (report) => this.#reports.next(report),
      onGone: () => {
        this.#tap = undefined;
        if (this.#endsWithProducer) this.#end(undefined);
      },
    });
    if (this.#packets.observed) this.#resume();
    if (this.#wantsReports) {
      // Without them wall times rest on arrival; a producer that has ended meanwhile is told elsewhere.
      this.#tap.requestReports().catch(() => undefined);
    }
  }

  /** Idempotent: closes consumer and transport, completes `packets`. */
  close(): Promise<void> {
    this.#end(undefined);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #resume(): void {
    const tap = this.#tap;
    tap?.consumer.resume().catch((error: unknown) => {
      // A consumer that has closed meanwhile says so itself.
      if (tap !== this.#tap || tap.consumer.closed || this.#router.closed) return;
      this.#end(TonetapError.from(error, "unavailable", "mediasoup did not resume the consumer"));
    });
  }

  /** One timer a source, looking whether there was a packet instead of moving with each. */
  #armTimer(inactivityMs: number, delayMs = inactivityMs): void {
    this.#cancelTimer = this.#clock.schedule(delayMs, () => {
      const { producer } = this.#tap ?? {};
      // Who is paused, or between two producers, is not expected to send.
      if (producer === undefined || producer.paused) this.#lastPacketMs = this.#clock.now();
      const leftMs = this.#lastPacketMs + inactivityMs - this.#clock.now();
      if (leftMs > 0) {
        this.#armTimer(inactivityMs, leftMs);
        return;
      }
      this.#timedOut = true;
      this.#end(undefined);
    });
  }

  readonly #onTransportClose = (): void => this.#end(undefined);

  readonly #onWorkerGone = (): void => {
    this.#workerGone = true;
  };

  #end(error: TonetapError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    this.#transport.observer.off("close", this.#onTransportClose);
    this.#tap?.close();
    this.#tap = undefined;
    this.#transport.close();
    // A router says that its worker is gone only after the ends of all that was on it.
    if (this.#router.closed && error === undefined) queueMicrotask(() => this.#tellEnd(error));
    else this.#tellEnd(error);
  }

  #tellEnd(error: TonetapError | undefined): void {
    this.#router.off("workerclose", this.#onWorkerGone);
    this.#reports.complete();
    const reason =
      error ??
      (this.#workerGone ? new TonetapError("unavailable", "the mediasoup worker has gone") : undefined);
    if (reason === undefined) this.#packets.complete();
    else this.#packets.error(reason);
  }
}
