/** When a participant's latest packets came, and when they were due to be sent. */
import { PACKET_MS, SHARED_OFFSET_MS, type Start } from "./protocol.ts";

/** Packets remembered: a window is answered long before so many have come. */
const KEPT = 64;

export class PacketTimes {
  readonly #sequences = new Uint16Array(KEPT);
  readonly #arrivals = new Float64Array(KEPT).fill(Number.NEGATIVE_INFINITY);
  #count = 0;
  #start: Start | undefined;

  begin(start: Start): void {
    this.#start = start;
  }

  came(sequence: number, arrivalMs: number): void {
    const slot = this.#count++ % KEPT;
    this.#sequences[slot] = sequence;
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
    const sequence = this.#sequences[nearest];
    return arrived === undefined || sequence === undefined ? undefined : this.#scheduledMs(sequence, arrived);
  }

  #scheduledMs(sequence: number, arrivedMs: number): number | undefined {
    if (this.#start === undefined) return undefined;
    const firstMs = this.#start.dueMs - SHARED_OFFSET_MS;
    const about = Math.round((arrivedMs - firstMs) / PACKET_MS);
    // 16 bits wrap after 22 minutes: of all packets with this number, the one nearest in time.
    const packets = about + (((sequence - this.#start.sequence - about) << 16) >> 16);
    return firstMs + packets * PACKET_MS;
  }
}
