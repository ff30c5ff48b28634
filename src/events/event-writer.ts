/**
 * Writes a subscription's events to one subscriber, many at a time, as fast as it reads. WebSocket and server-sent
 * events are two kinds of sink (websocket-session.ts, event-source-session.ts); which events is event-subscription.ts.
 */
import type { Clock } from "../core/clock.ts";
import type { MonotonicMs } from "../core/units.ts";
import type { WireForm } from "./event-encoding.ts";
import type { EventSubscription } from "./event-subscription.ts";
import type { FlushSchedule } from "./flush-schedule.ts";
import type { EventHub } from "./hub.ts";
import type { ControlMessage } from "./protocol.ts";

/** ms without an event after which a subscriber is told its position. */
const BOOKMARK_MS = 5_000;
/** Bytes of events put together into one write. */
const BATCH_BYTES = 32_768;

/** Where bytes go. */
export interface ByteSink {
  /** Not handed to the kernel yet. */
  readonly bufferedBytes: number;
  /** Nothing can be written any more. */
  readonly closed: boolean;
  /** `sent` is called when the bytes are with the kernel, or with an error. */
  write(data: Buffer, sent: ((error?: Error | null) => void) | undefined): void;
}

export interface EventWriterParts {
  readonly sink: ByteSink;
  readonly form: WireForm;
  readonly hub: EventHub;
  readonly subscription: EventSubscription;
  readonly schedule: FlushSchedule;
  readonly highWaterBytes: number;
  readonly clock: Clock;
  /** Puts a control message into the sink, or does not where there are none. */
  readonly say: (message: ControlMessage) => void;
  /** So many events were left out. */
  readonly onDropped: (count: number) => void;
}

export class EventWriter {
  readonly #parts: EventWriterParts;
  /** Since when the sink has been full; undefined while it takes what it is given. */
  #blockedSinceMs: MonotonicMs | undefined;
  #toldMs: MonotonicMs;
  /** What the latest event or bookmark told. */
  #position = "";
  #stopped = false;
  readonly #flush = (): void => this.pump();
  readonly #onSent = (error?: Error | null): void => {
    this.#blockedSinceMs = undefined;
    // An error means that the sink is gone: its owner is told by itself.
    if (!(error instanceof Error)) this.pump();
  };

  constructor(parts: EventWriterParts) {
    this.#parts = parts;
    this.#toldMs = parts.clock.now();
  }

  get blockedSinceMs(): MonotonicMs | undefined {
    return this.#blockedSinceMs;
  }

  /** There may be something to write. */
  wake(): void {
    if (this.#blockedSinceMs === undefined && !this.#stopped) this.#parts.schedule.request(this.#flush);
  }

  /** Writes until the subscription is empty or the sink is full. */
  pump(): void {
    const { sink, highWaterBytes, clock } = this.#parts;
    while (this.#blockedSinceMs === undefined && !this.#stopped && !sink.closed) {
      const data = this.#nextBatch();
      if (data === undefined) return;
      this.#toldMs = clock.now();
      const full = sink.bufferedBytes + data.length >= highWaterBytes;
      if (full) this.#blockedSinceMs = this.#toldMs;
      sink.write(data, full ? this.#onSent : undefined);
    }
  }

  /** To be called about once a second: tells the position when nothing else has told it for a while. */
  tick(): void {
    const { hub, subscription, clock, say } = this.#parts;
    const now = clock.now();
    if (this.#stopped || this.#blockedSinceMs !== undefined || subscription.pending > 0) return;
    if (now - this.#toldMs < BOOKMARK_MS || hub.position === this.#position) return;
    this.#toldMs = now;
    this.#position = hub.position;
    say({ type: "bookmark", position: hub.position, sequence: subscription.sequence });
  }

  /** Writes everything that is pending, full or not, and that this was all if no more can come. Then it stops. */
  finish(): void {
    const { sink, hub, subscription, say } = this.#parts;
    if (this.#stopped || sink.closed) return;
    for (let data = this.#nextBatch(); data !== undefined; data = this.#nextBatch())
      sink.write(data, undefined);
    if (hub.closed) say({ type: "end", position: hub.endPosition, sequence: subscription.sequence });
    this.stop();
  }

  /** Writes no more. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#parts.schedule.cancel(this.#flush);
  }

  #nextBatch(): Buffer | undefined {
    const { subscription, form, say, onDropped } = this.#parts;
    const gap = subscription.takeGap();
    if (gap !== undefined) {
      onDropped(gap.dropped ?? 0);
      say({ type: "gap", ...gap, sequence: subscription.sequence });
      return this.#nextBatch();
    }
    let last = subscription.take();
    if (last === undefined) return undefined;
    const first = last.wire(form);
    let bytes = first.length;
    let chunks: Buffer[] | undefined;
    while (bytes < BATCH_BYTES) {
      const next = subscription.take();
      if (next === undefined) break;
      last = next;
      chunks ??= [first];
      chunks.push(next.wire(form));
      bytes += next.wire(form).length;
    }
    this.#position = last.event.id;
    return chunks === undefined ? first : Buffer.concat(chunks, bytes);
  }
}
