/**
 * One voice of a platform that sends audio in messages over a reliable connection: an AudioSource that its dialect
 * feeds. Sockets and messages are websocket-media/ and audiosocket/.
 */
import { randomInt } from "node:crypto";
import { Observable, Subject } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import { BoundedQueue } from "../core/bounded-queue.ts";
import type { Clock } from "../core/clock.ts";
import type { TonetapError } from "../core/errors.ts";
import type { AudioCodec, CodecMap, RtpPacket } from "../core/rtp.ts";
import { LineSignals } from "./line-signals.ts";

/** Packets kept for a subscriber who is still attaching: 5 s of 20 ms. The oldest is dropped first. */
const EARLY_PACKETS = 256;

export interface MessageSourceOptions {
  readonly clock: Clock;
  readonly kind: string;
  readonly codecs: CodecMap;
  /** Whoever owns the source closed it; the peer is still there. */
  readonly onClose?: () => void;
}

export interface MessageSourceStats {
  /** Packets given on. */
  packets: number;
  /** Came long before anybody subscribed, or after the end: dropped. */
  unread: number;
}

export class MessageSource implements AudioSource, AsyncDisposable {
  readonly kind: string;
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly line = new LineSignals();
  /** Consent and keys, where the platform's messages tell of them. */
  readonly signals = this.line.observable;
  readonly stats: MessageSourceStats = { packets: 0, unread: 0 };
  readonly #clock: Clock;
  readonly #onClose: (() => void) | undefined;
  readonly #subject = new Subject<RtpPacket>();
  readonly #early = new BoundedQueue<RtpPacket>(EARLY_PACKETS, "drop-oldest");
  readonly #ssrc = randomInt(2 ** 32);
  #read = false;
  #ended = false;
  #timedOut = false;

  constructor({ clock, kind, codecs, onClose }: MessageSourceOptions) {
    this.kind = kind;
    this.codecs = codecs;
    this.#clock = clock;
    this.#onClose = onClose;
    this.packets = new Observable<RtpPacket>((subscriber) => {
      this.#read = true;
      for (let packet = this.#early.shift(); packet !== undefined; packet = this.#early.shift()) {
        this.stats.packets++;
        subscriber.next(packet);
      }
      return this.#subject.subscribe(subscriber);
    });
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  get refused(): Readonly<Record<string, number>> {
    return this.stats.unread === 0 ? {} : { unread: this.stats.unread };
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Audio has come. The payload is the receiver's from here on.
   * @param sequence any whole number; 16 bits of it are told
   * @param timestamp ticks of the codec's clock, any whole number; 32 bits of it are told
   * @param ssrc where the platform has several streams for one voice
   */
  take(
    payloadType: number,
    sequence: number,
    timestamp: number,
    payload: Uint8Array,
    ssrc = this.#ssrc,
  ): void {
    if (this.#ended) {
      this.stats.unread++;
      return;
    }
    const packet: RtpPacket = {
      sequence: sequence & 0xffff,
      timestamp: timestamp >>> 0,
      ssrc,
      payloadType,
      marker: false,
      payload,
      arrivalMs: this.#clock.now(),
    };
    if (this.#read) {
      this.stats.packets++;
      this.#subject.next(packet);
    } else if (this.#early.push(packet) !== undefined) this.stats.unread++;
  }

  /** The peer has left, or is not heard of any more. What is waiting for a subscriber is still given. */
  end(timedOut = false): void {
    if (this.#ended) return;
    this.#timedOut = timedOut;
    this.#ended = true;
    this.line.end();
    this.#subject.complete();
  }

  /** The transport failed. */
  fail(error: TonetapError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.line.end();
    this.#subject.error(error);
  }

  async close(): Promise<void> {
    this.#early.clear();
    if (this.#ended) return;
    this.end();
    this.#onClose?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** 16-bit samples as programs hold them (little-endian) in the order of the network: RFC 3551 §4.5.11. Copies. */
export function slinToL16(slin: Uint8Array): Uint8Array {
  const bytes = Buffer.from(slin);
  return bytes.length % 2 === 0 ? bytes.swap16() : bytes;
}

/** A source's codec map of one entry. */
export const oneCodec = (payloadType: number, codec: AudioCodec): CodecMap => new Map([[payloadType, codec]]);
