/** Listens to one consumer and its producer: packets, sender reports, and the end. What follows is producer-source.ts. */
import type { Clock } from "../../core/clock.ts";
import type { RtpPacket, SenderReport } from "../../core/rtp.ts";
import { ntpToWallMs } from "../rtcp.ts";
import { parseRtp } from "../rtp-packet.ts";
import { audioLevelIdOf } from "./consume-audio.ts";
import type {
  MediasoupConsumer,
  MediasoupProducer,
  MediasoupTrace,
  MediasoupTraceType,
} from "./mediasoup-types.ts";

const TRACE_TYPES: readonly MediasoupTraceType[] = ["rtp", "keyframe", "nack", "pli", "fir", "sr"];

export interface ProducerTapEvents {
  readonly onPacket: (packet: RtpPacket) => void;
  readonly onReport: (report: SenderReport) => void;
  /** Once: producer or consumer has ended, and not by {@link ProducerTap.close}. */
  readonly onGone: () => void;
}

export class ProducerTap {
  readonly producer: MediasoupProducer;
  readonly consumer: MediasoupConsumer;
  readonly #clock: Clock;
  readonly #events: ProducerTapEvents;
  readonly #parse: { readonly audioLevelId?: number };
  readonly #ssrc: number;
  #open = true;

  constructor(
    producer: MediasoupProducer,
    consumer: MediasoupConsumer,
    clock: Clock,
    events: ProducerTapEvents,
  ) {
    this.producer = producer;
    this.consumer = consumer;
    this.#clock = clock;
    this.#events = events;
    const audioLevelId = audioLevelIdOf(consumer.rtpParameters);
    this.#parse = audioLevelId === undefined ? {} : { audioLevelId };
    this.#ssrc = consumer.rtpParameters.encodings?.[0]?.ssrc ?? 0;
    consumer.on("rtp", this.#onRtp);
    consumer.observer.on("close", this.#onEnd);
    producer.observer.on("close", this.#onEnd);
    producer.observer.on("trace", this.#onTrace);
  }

  /**
   * Has mediasoup report the producer's RTCP sender reports: a DirectTransport gives none of its own. This switches the
   * producer's `sr` trace on, beside those that are on already, and leaves it on: others may use it too.
   */
  async requestReports(): Promise<void> {
    const { traceEventTypes } = await this.producer.dump();
    if (!this.#open || traceEventTypes.includes("sr")) return;
    await this.producer.enableTraceEvent(
      TRACE_TYPES.filter((type) => type === "sr" || traceEventTypes.includes(type)),
    );
  }

  /** Idempotent. Takes all listeners off and closes the consumer; the producer stays as it is. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.consumer.off("rtp", this.#onRtp);
    this.consumer.observer.off("close", this.#onEnd);
    this.producer.observer.off("close", this.#onEnd);
    this.producer.observer.off("trace", this.#onTrace);
    this.consumer.close();
  }

  readonly #onRtp = (bytes: Uint8Array): void => {
    const packet = parseRtp(bytes, this.#clock.now(), this.#parse);
    // mediasoup has parsed it before: there is no malformed one to count.
    if (typeof packet !== "string") this.#events.onPacket(packet);
  };

  readonly #onTrace = ({ type, info }: MediasoupTrace): void => {
    const { ntpSec, ntpFrac, rtpTs } = info;
    if (type !== "sr" || typeof ntpSec !== "number" || typeof ntpFrac !== "number") return;
    // RFC 3550 §6.4.1: an all-zero NTP time says that the sender has no clock.
    if (typeof rtpTs !== "number" || (ntpSec === 0 && ntpFrac === 0)) return;
    this.#events.onReport({
      // mediasoup rewrites SSRC and sequence number for a consumer, and leaves audio timestamps as they are.
      ssrc: this.#ssrc,
      ntpWallMs: ntpToWallMs(ntpSec, ntpFrac),
      rtpTimestamp: rtpTs,
      arrivalMs: this.#clock.now(),
    });
  };

  readonly #onEnd = (): void => {
    if (!this.#open) return;
    this.close();
    this.#events.onGone();
  };
}
