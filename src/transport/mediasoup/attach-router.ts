/** Follows the audio producers of a router as they come and go, and seats each with its participant (participant-seat.ts). */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { ClosesOnce } from "../../core/lifecycle.ts";
import type { AttachTarget } from "./attach-producer.ts";
import type { MediasoupProducer, MediasoupRouter, MediasoupTransport } from "./mediasoup-types.ts";
import { ParticipantSeat, type SeatOptions } from "./participant-seat.ts";
import type { ProducerSourceOptions } from "./producer-source.ts";

export interface RouterTapOptions extends ProducerSourceOptions {
  /**
   * Who speaks in an audio producer; undefined leaves it alone (music, shared screens). Asked once a producer, when it
   * appears. Producers of one participant replace each other: the newest that is open is listened to, in one unbroken
   * stream of events. The rest of the info counts when the participant joins.
   */
  readonly participantOf: (
    producer: MediasoupProducer,
    /** Undefined for those of {@link producers}. */
    transport: MediasoupTransport | undefined,
  ) => ParticipantInfo | undefined;
  /** Transports that the router had before: mediasoup does not list them. */
  readonly transports?: Iterable<MediasoupTransport>;
  /** Producers that were there before. */
  readonly producers?: Iterable<MediasoupProducer>;
  /**
   * How long a participant stays without a producer, ms: a client that changes its microphone or comes back after a
   * broken connection goes on where it was. 0–60,000, default 2,000.
   */
  readonly graceMs?: number;
  /**
   * A producer could not be attached: the engine refused it (policy, limit, name taken), or its codec is unknown.
   * Others are not touched. Default: a process warning.
   */
  readonly onError?: (error: TonetapError, producer: MediasoupProducer | undefined) => void;
}

/** `close()` stops following and detaches everyone; the router stays as it is. It happens by itself when the router closes. */
export class RouterTap extends ClosesOnce {
  readonly #engine: AttachTarget;
  readonly #router: MediasoupRouter;
  readonly #participantOf: RouterTapOptions["participantOf"];
  readonly #seatOptions: Omit<SeatOptions, "onEmpty">;
  readonly #seats = new Map<string, ParticipantSeat>();
  /** Takes our listeners off a transport or a producer that is open. */
  readonly #forget = new Map<MediasoupTransport | MediasoupProducer, () => void>();

  constructor(engine: AttachTarget, router: MediasoupRouter, options: RouterTapOptions) {
    super();
    const { participantOf, graceMs = 2_000, onError = warn } = options;
    assertRange("graceMs", graceMs, 0, 60_000, "ms");
    if (router.closed) throw new TonetapError("closed", "the mediasoup router is closed");
    this.#engine = engine;
    this.#router = router;
    this.#participantOf = participantOf;
    this.#seatOptions = { ...options, graceMs, onError };
    router.observer.on("newtransport", this.#onTransport);
    router.observer.on("close", this.#onRouterClose);
    for (const transport of options.transports ?? []) this.#onTransport(transport);
    for (const producer of options.producers ?? []) this.#onProducer(producer, undefined);
  }

  /** Participants with an open producer, or in their grace time. */
  get participants(): number {
    return this.#seats.size;
  }

  protected async release(): Promise<void> {
    this.#router.observer.off("newtransport", this.#onTransport);
    this.#router.observer.off("close", this.#onRouterClose);
    for (const forget of [...this.#forget.values()]) forget();
    await Promise.all([...this.#seats.values()].map((seat) => seat.close()));
  }

  readonly #onRouterClose = (): void => void this.close();

  readonly #onTransport = (transport: MediasoupTransport): void => {
    if (transport.closed || this.#forget.has(transport)) return;
    const onProducer = (producer: MediasoupProducer): void => this.#onProducer(producer, transport);
    const forget = (): void => {
      transport.observer.off("newproducer", onProducer);
      transport.observer.off("close", forget);
      this.#forget.delete(transport);
    };
    transport.observer.on("newproducer", onProducer);
    transport.observer.on("close", forget);
    this.#forget.set(transport, forget);
  };

  #onProducer(producer: MediasoupProducer, transport: MediasoupTransport | undefined): void {
    if (producer.kind !== "audio" || producer.closed || this.#forget.has(producer)) return;
    const info = this.#ask(producer, transport);
    if (info === undefined) return;
    const seat = this.#seatOf(info);
    const onClose = (): void => {
      forget();
      seat.remove(producer);
    };
    const forget = (): void => {
      producer.observer.off("close", onClose);
      this.#forget.delete(producer);
    };
    producer.observer.on("close", onClose);
    this.#forget.set(producer, forget);
    seat.add(producer);
  }

  #ask(producer: MediasoupProducer, transport: MediasoupTransport | undefined): ParticipantInfo | undefined {
    try {
      return this.#participantOf(producer, transport);
    } catch (error) {
      this.#seatOptions.onError(
        TonetapError.from(error, "invalid-argument", "participantOf failed"),
        producer,
      );
      return undefined;
    }
  }

  #seatOf(info: ParticipantInfo): ParticipantSeat {
    const key = JSON.stringify([info.callId, info.participantId]);
    const known = this.#seats.get(key);
    if (known !== undefined) return known;
    const seat: ParticipantSeat = new ParticipantSeat(this.#engine, this.#router, info, {
      ...this.#seatOptions,
      onEmpty: () => {
        if (this.#seats.get(key) === seat) this.#seats.delete(key);
      },
    });
    this.#seats.set(key, seat);
    return seat;
  }
}

/**
 * Attaches every audio producer of `router`, those to come included, until the router closes. Call it when the router
 * is new, or name what is there already.
 * @throws TonetapError invalid-argument for options out of range, closed when the router is
 */
export const attachRouter = (
  engine: AttachTarget,
  router: MediasoupRouter,
  options: RouterTapOptions,
): RouterTap => new RouterTap(engine, router, options);

function warn(error: TonetapError): void {
  process.emitWarning(error.message, { type: "TonetapWarning", code: error.code });
}
