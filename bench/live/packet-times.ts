/** When a participant's latest packets came, and when they were due to be sent. */
import { PACKET_MS, SHARED_OFFSET_MS, type Start, TICKS_PER_PACKET } from "./protocol.ts";

/** Packets remembered: a window is answered long before so many have come. */
const KEPT = 64;

export class PacketTimes {
  readonly #timestamps = new Uint32Array(KEPT);
  readonly #arrivals = new Float64Array(KEPT).fill(Number.NEGATIVE_INFINITY);
  #count = 0;
  #start: Start | undefined;

  begin(start: Start): void {
    this.#start = start;
  }

  /** @param timestamp of RTP: it goes on in pauses, where sequence numbers stand still */
  came(timestamp: number, arrivalMs: number): void {
    const slot = this.#count++ % KEPT;
    this.#timestamps[slot] = timestamp;
    this.#arrivals[slot] = arrivalMs;
  }

  /** When the packet that came at `arrivalMs` (to half a packet) was due to be sent, on this process's clock. */
  dueMs(arrivalMs: number): number | undefined {
    let nearest = -1;
    let distance = PACKET_MS / 2;
    for (const [slot, arrived] of this.#arrivals.entries()) {
      if (Math.abs(arrived - arrivalMs) >= distance) continue;
      distance = Math.abs(arrived - arrivalMs);
      nearest = slot;
    }
    const arrived = this.#arrivals[nearest];
    const timestamp = this.#timestamps[nearest];
    return arrived === undefined || timestamp === undefined ? undefined : this.#scheduledMs(timestamp);
  }

  #scheduledMs(timestamp: number): number | undefined {
    if (this.#start === undefined) return undefined;
    // 32 bits at 48 kHz wrap after 24 hours.
    const packets = ((timestamp - this.#start.timestamp) >>> 0) / TICKS_PER_PACKET;
    return this.#start.dueMs - SHARED_OFFSET_MS + packets * PACKET_MS;
  }
}
