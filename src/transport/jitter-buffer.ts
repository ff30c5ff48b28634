/**
 * Puts one participant's packets back in order and decides what is missing. Media time is media-timeline.ts;
 * how long to wait is hole-wait.ts; the RxJS operator is jitter-buffer-operator.ts.
 *
 * This is analysis, not playback: no loudspeaker has to be kept fed, so a packet that is in sequence is passed on at
 * once. Only a hole makes the packets behind it wait, for as long as the missing one may still come. A stream without
 * loss and reordering has no added delay at all, and its packets never touch the ring.
 */
import type { Clock } from "../core/clock.ts";
import { assertRange } from "../core/errors.ts";
import type { MediaUnit } from "../core/media.ts";
import type { CodecMap, RtpPacket } from "../core/rtp.ts";
import { HoleWait } from "./hole-wait.ts";
import { createJitterStats, type JitterStats } from "./jitter-stats.ts";
import { MediaTimeline } from "./media-timeline.ts";
import { extendSequence } from "./sequence.ts";

/** Packets the ring holds; a power of two. Holds the span of a jump and what may come late behind it. */
const CAPACITY = 1024;
const MASK = CAPACITY - 1;
/** A packet this far ahead is taken for loss, 10 s of 20 ms packets; beyond, for another stream. RFC 3550 A.1. */
const MAX_DROPOUT = 500;
/** A packet this far behind its turn is taken for late or doubled; beyond, for another stream. RFC 3550 A.1. */
const MAX_MISORDER = 100;
/** A timer later than this means that the process was busy, and packets may lie unread in the socket, ms. */
const BUSY_MS = 5;
/** Timers may fire early by less than 1 ms: they count whole ones. */
const TIMER_SLACK_MS = 1;

/** What is known of a sequence number in the ring. */
const UNSEEN = 0;
const RECEIVED = 1;
const AWAITED = 2;
const GIVEN_UP = 3;

export interface JitterBufferOptions {
  readonly clock: Clock;
  /** What each payload type means; others are counted and ignored. */
  readonly codecs: CodecMap;
  /** Shortest wait for a missing packet, ms. 0–1000, default 40: a swap with the next packet is 20. */
  readonly minWaitMs?: number;
  /** Longest wait for a missing packet, ms. minWaitMs–2000, default 200: a round trip for a retransmission. */
  readonly maxWaitMs?: number;
  /** Without audio for this long, `stalled` is emitted, once; ms. 20–60,000, default 200. */
  readonly stallMs?: number;
  /** Called with the 16-bit sequence numbers of a fresh hole, once each: see {@link AudioSource.requestRetransmission}. */
  readonly requestRetransmission?: ((sequences: readonly number[]) => void) | undefined;
  /** Counts into this object instead of a new one. */
  readonly stats?: JitterStats;
}

export class JitterBuffer {
  readonly stats: JitterStats;
  readonly #clock: Clock;
  readonly #codecs: CodecMap;
  readonly #stallMs: number;
  readonly #emit: (unit: MediaUnit) => void;
  readonly #requestRetransmission: ((sequences: readonly number[]) => void) | undefined;
  readonly #timeline: MediaTimeline;
  readonly #wait: HoleWait;

  /** Packets behind a hole, by slot: where nothing gets lost there are none. */
  readonly #waiting = new Map<number, RtpPacket>();
  readonly #state = new Uint8Array(CAPACITY);
  readonly #timestamps = new Uint32Array(CAPACITY);
  /** When a later packet showed the hole. Made with the first hole. */
  #awaitedSinceMs: Float64Array | undefined;

  #started = false;
  #closed = false;
  #ssrc = 0;
  #previousSsrc: number | undefined;
  /** Next sequence number to give on, unwrapped. */
  #next = 0;
  /** Highest one received, unwrapped; #next − 1 when there is no hole. */
  #highest = -1;
  /** A packet of no known stream: with its successor it is a new one. */
  #held: RtpPacket | undefined;
  #lastAudioMs = 0;
  #cancelHoleTimer: (() => void) | undefined;
  #holeTimerFor = 0;
  #cancelStallTimer: (() => void) | undefined;

  /** @throws TonetapError invalid-argument naming the option. */
  constructor(options: JitterBufferOptions, emit: (unit: MediaUnit) => void) {
    const { minWaitMs = 40, maxWaitMs = 200, stallMs = 200 } = options;
    assertRange("minWaitMs", minWaitMs, 0, 1000, "ms");
    assertRange("maxWaitMs", maxWaitMs, minWaitMs, 2000, "ms");
    assertRange("stallMs", stallMs, 20, 60_000, "ms");
    this.stats = options.stats ?? createJitterStats();
    this.stats.waitMs = minWaitMs;
    this.#clock = options.clock;
    this.#codecs = options.codecs;
    this.#stallMs = stallMs;
    this.#emit = emit;
    this.#requestRetransmission = options.requestRetransmission;
    this.#timeline = new MediaTimeline(options.codecs, this.stats, emit);
    this.#wait = new HoleWait(minWaitMs, maxWaitMs);
  }

  /** Takes a packet; emits what it makes ready before returning. */
  push(packet: RtpPacket): void {
    if (this.#closed) return;
    this.stats.received++;
    if (!this.#started) this.#begin(packet, "start");
    if (packet.ssrc !== this.#ssrc) this.#foreign(packet);
    else this.#accept(packet);
  }

  /** The source has ended: gives on what is there, holes as lost, then closes. */
  flush(): void {
    if (this.#closed) return;
    this.#drain(this.#clock.now(), true);
    this.#timeline.end();
    this.#dropHeld();
    this.close();
  }

  /** Drops everything and stops the timers. Idempotent; nothing is emitted from here on. */
  close(): void {
    this.#closed = true;
    this.#cancelHoleTimer?.();
    this.#cancelStallTimer?.();
    this.#cancelHoleTimer = undefined;
    this.#cancelStallTimer = undefined;
    this.#waiting.clear();
    this.#held = undefined;
  }

  #begin(first: RtpPacket, reason: "start" | "ssrc" | "jump"): void {
    this.#started = true;
    this.#ssrc = first.ssrc;
    this.#next = first.sequence;
    this.#highest = first.sequence - 1;
    this.#state.fill(UNSEEN);
    this.#wait.restart();
    this.#timeline.reset(reason, first);
  }

  #accept(packet: RtpPacket): void {
    const sequence = extendSequence(packet.sequence, this.#highest);
    const slot = sequence & MASK;
    if (sequence === this.#next && sequence === this.#highest + 1) {
      this.#highest = sequence;
      this.#next = sequence + 1;
      this.#note(slot, packet);
      this.#timeline.packet(packet);
      return;
    }
    const foreign = sequence > this.#highest + MAX_DROPOUT || sequence < this.#next - MAX_MISORDER;
    if (foreign) this.#suspect(packet, "jump");
    else if (sequence < this.#next) this.#past(packet, slot);
    else if (sequence > this.#highest) this.#ahead(packet, sequence);
    else this.#fills(packet, slot);
  }

  /** Behind a hole, old or new. */
  #ahead(packet: RtpPacket, sequence: number): void {
    const now = this.#clock.now();
    // Slots of numbers that may still come late are not taken, or these would be mistaken for newer ones.
    while (sequence - this.#next > CAPACITY - MAX_MISORDER && !this.#closed) this.#step(now, true);
    const first = this.#highest + 1;
    this.#awaitedSinceMs ??= new Float64Array(CAPACITY);
    for (let hole = first; hole < sequence; hole++) {
      this.#state[hole & MASK] = AWAITED;
      this.#awaitedSinceMs[hole & MASK] = now;
    }
    this.#highest = sequence;
    this.#waiting.set(sequence & MASK, packet);
    this.#note(sequence & MASK, packet);
    this.#timeline.keepCopies(packet);
    this.#drain(now, false);
    if (first < sequence) this.#askFor(Math.max(first, this.#next), sequence);
  }

  /** Fills a hole, or is already there. */
  #fills(packet: RtpPacket, slot: number): void {
    if (this.#state[slot] === RECEIVED) {
      this.stats.duplicate++;
      return;
    }
    const now = this.#clock.now();
    this.stats.reordered++;
    this.#wait.came(now - (this.#awaitedSinceMs?.[slot] ?? now), now);
    this.#waiting.set(slot, packet);
    this.#note(slot, packet);
    this.#timeline.keepCopies(packet);
    this.#drain(now, false);
  }

  /** Its turn is over: late, a duplicate, or a sender that began anew a little lower. */
  #past(packet: RtpPacket, slot: number): void {
    const state = this.#state[slot];
    if (state === RECEIVED) {
      if (packet.timestamp === this.#timestamps[slot]) this.stats.duplicate++;
      else this.#suspect(packet, "jump");
      return;
    }
    if (!this.#timeline.plausible(packet.timestamp)) {
      this.#suspect(packet, "jump");
      return;
    }
    const now = this.#clock.now();
    if (state === GIVEN_UP) this.#wait.came(now - (this.#awaitedSinceMs?.[slot] ?? now), now);
    this.stats.late++;
    this.#state[slot] = RECEIVED;
    this.#timestamps[slot] = packet.timestamp;
  }

  #foreign(packet: RtpPacket): void {
    // What the old stream still had on the way does not bring it back, unless the new one has fallen silent.
    const currentLives = packet.arrivalMs - this.#lastAudioMs <= this.#wait.maxMs;
    if (packet.ssrc === this.#previousSsrc && currentLives) this.stats.ignored.oldSsrc++;
    else this.#suspect(packet, "ssrc");
  }

  /** RFC 3550 A.1: two packets in sequence make a new stream; one is an accident. */
  #suspect(packet: RtpPacket, reason: "ssrc" | "jump"): void {
    const held = this.#held;
    const distance = held?.ssrc === packet.ssrc ? (packet.sequence - held.sequence) & 0xffff : -1;
    if (held === undefined || distance !== 1) {
      if (distance === 0) this.stats.duplicate++;
      else {
        this.#dropHeld();
        this.#held = packet;
      }
      return;
    }
    this.#held = undefined;
    this.#drain(this.#clock.now(), true);
    if (this.#closed) return;
    if (packet.ssrc !== this.#ssrc) this.#previousSsrc = this.#ssrc;
    this.#begin(held, reason);
    this.#accept(held);
    if (!this.#closed) this.#accept(packet);
  }

  #dropHeld(): void {
    if (this.#held !== undefined) this.stats.ignored.stray++;
    this.#held = undefined;
  }

  /** Every accepted packet, in the order of arrival. */
  #note(slot: number, packet: RtpPacket): void {
    this.#state[slot] = RECEIVED;
    this.#timestamps[slot] = packet.timestamp;
    const codec = this.#codecs.get(packet.payloadType);
    if (codec === undefined || packet.payload.length === 0) return;
    if (codec.mimeType === "audio/CN" || codec.mimeType === "audio/telephone-event") return;
    this.stats.jitterMs = this.#wait.observe(packet.timestamp, codec.clockRateHz, packet.arrivalMs);
    this.#lastAudioMs = packet.arrivalMs;
    if (this.#cancelStallTimer === undefined && !this.#closed) this.#armStallTimer(this.#stallMs);
  }

  #askFor(first: number, end: number): void {
    if (this.#requestRetransmission === undefined || this.#closed || first >= end) return;
    this.#requestRetransmission(Array.from({ length: end - first }, (_, i) => (first + i) & 0xffff));
  }

  /** Gives on what is ready. `giveUp`: holes wait no longer. */
  #drain(now: number, giveUp: boolean): void {
    while (this.#next <= this.#highest && !this.#closed) {
      if (!this.#step(now, giveUp)) break;
    }
    this.#armHoleTimer(now);
  }

  /** Consumes the next sequence number, or returns false if it is a hole still worth waiting for. */
  #step(now: number, giveUp: boolean): boolean {
    const slot = this.#next & MASK;
    if (this.#state[slot] === RECEIVED) {
      const packet = this.#waiting.get(slot);
      this.#waiting.delete(slot);
      this.#next++;
      if (packet !== undefined) this.#timeline.packet(packet);
      return true;
    }
    if (!giveUp && now < this.#holeDueMs(now) - TIMER_SLACK_MS && !this.#covered()) return false;
    this.#state[slot] = GIVEN_UP;
    this.#next++;
    this.#timeline.missing();
    return true;
  }

  /** Until when the hole at #next is waited for. */
  #holeDueMs(now: number): number {
    this.stats.waitMs = this.#wait.waitMs(now);
    return (this.#awaitedSinceMs?.[this.#next & MASK] ?? now) + this.stats.waitMs;
  }

  /** Whether RED copies stand for every packet of the hole at #next. */
  #covered(): boolean {
    if (!this.#timeline.hasCopies) return false;
    let end = this.#next;
    while (this.#state[end & MASK] !== RECEIVED) end++;
    const packet = this.#waiting.get(end & MASK);
    return packet !== undefined && this.#timeline.covers(end - this.#next, packet);
  }

  /** One timer, for the hole at #next, while there is one. */
  #armHoleTimer(now: number): void {
    const waiting = this.#next <= this.#highest && !this.#closed;
    if (this.#cancelHoleTimer !== undefined) {
      if (waiting && this.#holeTimerFor === this.#next) return;
      this.#cancelHoleTimer();
      this.#cancelHoleTimer = undefined;
    }
    if (!waiting) return;
    this.#holeTimerFor = this.#next;
    const dueMs = this.#holeDueMs(now);
    const fire = (last: boolean): void => {
      const firedMs = this.#clock.now();
      // Timers run before sockets are read: after a long pause, let the packets that lie there in first.
      if (firedMs - dueMs > BUSY_MS && !last) {
        this.#cancelHoleTimer = this.#clock.schedule(0, () => fire(true));
        return;
      }
      this.#cancelHoleTimer = undefined;
      this.#drain(firedMs, false);
    };
    this.#cancelHoleTimer = this.#clock.schedule(Math.max(0, dueMs - now), () => fire(false));
  }

  /** Looks once a stall time whether audio came, instead of moving a timer with each packet. */
  #armStallTimer(delayMs: number): void {
    this.#cancelStallTimer = this.#clock.schedule(delayMs, () => {
      this.#cancelStallTimer = undefined;
      const now = this.#clock.now();
      const leftMs = this.#lastAudioMs + this.#stallMs - now;
      if (leftMs > TIMER_SLACK_MS) {
        this.#armStallTimer(leftMs);
        return;
      }
      this.#drain(now, true);
      if (!this.#closed) this.#emit({ kind: "stalled", arrivalMs: now });
    });
  }
}
