/**
 * One participant of a room and the producers that speak for it: a newer one takes over, an older one takes back, and
 * after the last one the seat is kept for a while. Which producer is whose is attach-router.ts.
 */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import { systemClock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { AttachTarget } from "./attach-producer.ts";
import type { MediasoupProducer, MediasoupRouter } from "./mediasoup-types.ts";
import { ProducerSource, type ProducerSourceOptions } from "./producer-source.ts";

export interface SeatOptions extends ProducerSourceOptions {
  /** How long the participant stays when its last producer has closed, ms. */
  readonly graceMs: number;
  readonly onError: (error: TonetapError, producer: MediasoupProducer | undefined) => void;
  /** The participant has left, and no producer speaks for it: the seat can be forgotten. */
  readonly onEmpty: () => void;
}

export class ParticipantSeat implements Closable {
  readonly #engine: AttachTarget;
  readonly #router: MediasoupRouter;
  readonly #info: ParticipantInfo;
  readonly #options: SeatOptions;
  /** Those that are open, the oldest first. */
  readonly #producers: MediasoupProducer[] = [];
  #source: ProducerSource | undefined;
  #participant: Closable | undefined;
  /** What was last tried: a producer that was refused, or whose participant was detached, is not tried again. */
  #tried: MediasoupProducer | undefined;
  #cancelGrace: (() => void) | undefined;
  #graceOver = false;
  #closed = false;
  /** Rises with every change; the loop in #settle runs until it has seen the latest. */
  #changes = 0;
  #settling: Promise<void> | undefined;

  constructor(engine: AttachTarget, router: MediasoupRouter, info: ParticipantInfo, options: SeatOptions) {
    this.#engine = engine;
    this.#router = router;
    this.#info = info;
    this.#options = options;
  }

  add(producer: MediasoupProducer): void {
    this.#producers.push(producer);
    this.#change();
  }

  remove(producer: MediasoupProducer): void {
    const at = this.#producers.indexOf(producer);
    if (at === -1) return;
    this.#producers.splice(at, 1);
    this.#change();
  }

  /** Detaches the participant. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#change();
    await this.#settling;
  }

  #change(): void {
    this.#changes++;
    this.#settling ??= this.#settle();
  }

  /** One step at a time, however fast producers come and go; never rejects. */
  async #settle(): Promise<void> {
    // Changes that come together, as when a router closes, are one.
    await Promise.resolve();
    for (let seen = -1; seen !== this.#changes; ) {
      seen = this.#changes;
      const wanted = this.#closed ? undefined : this.#producers.at(-1);
      try {
        if (wanted === undefined) await this.#leave();
        else await this.#sit(wanted);
      } catch (error) {
        // A producer that closes while it is being attached is no failure: that it closed is the next change.
        if (wanted?.closed !== true && !this.#router.closed) {
          this.#options.onError(TonetapError.from(error), wanted);
        }
      }
    }
    this.#settling = undefined;
    if (this.#participant === undefined && this.#producers.length === 0) this.#options.onEmpty();
  }

  async #sit(producer: MediasoupProducer): Promise<void> {
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    this.#graceOver = false;
    if (producer === this.#tried) return;
    this.#tried = producer;
    if (this.#source !== undefined && !this.#source.closed) {
      await this.#source.follow(producer);
      return;
    }
    // Its last windows may still be under way; until they are answered its name is taken.
    await this.#detach();
    const source = await ProducerSource.open(this.#router, producer, false, this.#options);
    try {
      this.#participant = await this.#engine.attach(source, this.#info);
      this.#source = source;
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  async #leave(): Promise<void> {
    const { graceMs, clock = systemClock } = this.#options;
    const waits = graceMs > 0 && !this.#graceOver && !this.#closed && !this.#router.closed;
    if (waits && this.#source?.closed === false) {
      this.#cancelGrace ??= clock.schedule(graceMs, () => {
        this.#graceOver = true;
        this.#change();
      });
      return;
    }
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    await this.#detach();
  }

  async #detach(): Promise<void> {
    const participant = this.#participant;
    const source = this.#source;
    this.#participant = undefined;
    this.#source = undefined;
    this.#tried = undefined;
    // The source first: the peer has left by itself, nobody removed it.
    await source?.close();
    await participant?.close();
  }
}
