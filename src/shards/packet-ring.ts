/**
 * RTP packets on their way from one thread to another, in shared memory: one writer, one reader, bounded. A packet that
 * finds it full is dropped and counted. Writing allocates nothing. Who is woken how is shard-link.ts.
 */
import { assertRange } from "../core/errors.ts";
import type { RtpPacket } from "../core/rtp.ts";
import { monotonicMs } from "../core/units.ts";

/** The part of a ring that a thread needs; survives structured cloning. */
export interface PacketRingMemory {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly data: SharedArrayBuffer;
}

/** Cells of the control array. Positions count words of 8 bytes. */
const READ_AT = 0;
const WRITE_AT = 1;
/** 1 while the reader sleeps and wants to be woken. */
const ASLEEP = 2;
const DROPPED = 3;
const CONTROL_CELLS = 4;

/**
 * A record: words of it and whose it is (u32 each); arrival (f64); timestamp and SSRC (u32 each); sequence, type and flags,
 * payload length and level (u32 each); the payload. A record of 0 words says that the next one is at the beginning.
 */
const HEAD_WORDS = 4;
const MAX_PAYLOAD_BYTES = 0xffff;
const MARKER = 1 << 23;
const HAS_LEVEL = 1 << 24;
const VOICE = 1 << 25;

export function createPacketRing(bytes: number): PacketRingMemory {
  assertRange("packet ring", bytes, 1 << 10, 1 << 30, "bytes");
  return {
    control: new Int32Array(new SharedArrayBuffer(4 * CONTROL_CELLS)),
    data: new SharedArrayBuffer(bytes & ~7),
  };
}

/** What writer and reader see of one ring. */
class RingView {
  protected readonly control: Int32Array<SharedArrayBuffer>;
  protected readonly u32: Uint32Array;
  protected readonly f64: Float64Array;
  protected readonly bytes: Uint8Array;
  /** Words in all. */
  protected readonly capacity: number;

  constructor({ control, data }: PacketRingMemory) {
    this.control = control;
    this.u32 = new Uint32Array(data);
    this.f64 = new Float64Array(data);
    this.bytes = new Uint8Array(data);
    this.capacity = this.f64.length;
  }

  /** Packets that found it full, since it was made. */
  get dropped(): number {
    return Atomics.load(this.control, DROPPED);
  }
}

export class PacketRingWriter extends RingView {
  /** @returns false when it was dropped: the ring is full, or the payload longer than a datagram can be */
  write(channel: number, packet: RtpPacket): boolean {
    const { payload, audioLevel } = packet;
    const words = HEAD_WORDS + ((payload.length + 7) >> 3);
    const at = payload.length > MAX_PAYLOAD_BYTES ? -1 : this.#place(words);
    if (at < 0) {
      Atomics.add(this.control, DROPPED, 1);
      return false;
    }
    const { u32 } = this;
    const first = 2 * at;
    u32[first] = words;
    u32[first + 1] = channel;
    this.f64[at + 1] = packet.arrivalMs;
    u32[first + 4] = packet.timestamp;
    u32[first + 5] = packet.ssrc;
    u32[first + 6] =
      packet.sequence |
      (packet.payloadType << 16) |
      (packet.marker ? MARKER : 0) |
      (audioLevel === undefined ? 0 : HAS_LEVEL | (audioLevel.voice ? VOICE : 0));
    u32[first + 7] = payload.length | ((audioLevel?.level ?? 0) << 16);
    this.bytes.set(payload, 8 * (at + HEAD_WORDS));
    const next = at + words;
    Atomics.store(this.control, WRITE_AT, next === this.capacity ? 0 : next);
    return true;
  }

  /** Whether the reader sleeps; who asks wakes it: nobody is told twice. */
  takeSleeper(): boolean {
    return Atomics.compareExchange(this.control, ASLEEP, 1, 0) === 1;
  }

  get isReaderAsleep(): boolean {
    return Atomics.load(this.control, ASLEEP) === 1;
  }

  /** Where a record of so many words fits, in words; −1: nowhere. The writer never catches up with the reader. */
  #place(words: number): number {
    const readAt = Atomics.load(this.control, READ_AT);
    const writeAt = Atomics.load(this.control, WRITE_AT);
    if (writeAt < readAt) return writeAt + words < readAt ? writeAt : -1;
    const end = writeAt + words;
    if (end < this.capacity || (end === this.capacity && readAt > 0)) return writeAt;
    if (words >= readAt) return -1;
    this.u32[2 * writeAt] = 0;
    return 0;
  }
}

export class PacketRingReader extends RingView {
  /**
   * Reads what is there, `limit` packets at most, and overwrites it with zeros: nothing of a voice stays behind.
   * @returns whether more may be there
   */
  read(limit: number, take: (channel: number, packet: RtpPacket) => void): boolean {
    for (let count = 0; count < limit; count++) {
      let at = Atomics.load(this.control, READ_AT);
      if (at === Atomics.load(this.control, WRITE_AT)) return false;
      if (this.u32[2 * at] === 0) {
        at = 0;
        Atomics.store(this.control, READ_AT, 0);
        if (Atomics.load(this.control, WRITE_AT) === 0) return false;
      }
      const words = this.u32[2 * at] ?? 0;
      const channel = this.u32[2 * at + 1] ?? 0;
      const packet = this.#packet(at);
      this.f64.fill(0, at, at + words);
      const next = at + words;
      Atomics.store(this.control, READ_AT, next === this.capacity ? 0 : next);
      take(channel, packet);
    }
    return true;
  }

  /** Wants to be woken by the next packet. @returns false when one has come in between: read on */
  sleep(): boolean {
    Atomics.store(this.control, ASLEEP, 1);
    if (Atomics.load(this.control, READ_AT) === Atomics.load(this.control, WRITE_AT)) return true;
    return Atomics.compareExchange(this.control, ASLEEP, 1, 0) === 0;
  }

  #packet(at: number): RtpPacket {
    const { u32 } = this;
    const first = 2 * at;
    const flags = u32[first + 6] ?? 0;
    const sizes = u32[first + 7] ?? 0;
    const payloadAt = 8 * (at + HEAD_WORDS);
    const packet = {
      sequence: flags & 0xffff,
      timestamp: u32[first + 4] ?? 0,
      ssrc: u32[first + 5] ?? 0,
      payloadType: (flags >> 16) & 0x7f,
      marker: (flags & MARKER) !== 0,
      payload: this.bytes.slice(payloadAt, payloadAt + (sizes & 0xffff)),
      arrivalMs: monotonicMs(this.f64[at + 1] ?? 0),
    };
    if ((flags & HAS_LEVEL) === 0) return packet;
    return { ...packet, audioLevel: { voice: (flags & VOICE) !== 0, level: sizes >>> 16 } };
  }
}
