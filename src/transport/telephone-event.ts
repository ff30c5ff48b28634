/** Keys of a telephone, off RTP packets (RFC 4733). What they mean to anyone is consent-keys.ts. */
import type { RtpPacket } from "../core/rtp.ts";

/** RFC 4733 §3.2, table 3; 16 is a hook flash. */
const KEYS = "0123456789*#ABCD";

/** Reads one participant's telephone events. Each press is told once, whatever is lost, doubled or late of its packets. */
export class TelephoneEvents {
  #ssrc: number | undefined;
  #timestamp = 0;
  #event = -1;
  /** Ticks that the latest event has lasted. */
  #duration = 0;

  /** @returns the key whose press begins with this packet */
  take({ ssrc, timestamp, payload }: RtpPacket): string | undefined {
    // RFC 4733 §2.3: event, E R volume, duration.
    if (payload.length < 4) return undefined;
    const event = payload[0] ?? 0;
    const duration = ((payload[2] ?? 0) << 8) | (payload[3] ?? 0);
    const isSame = ssrc === this.#ssrc && timestamp === this.#timestamp;
    if (isSame) {
      this.#duration = Math.max(this.#duration, duration);
      return undefined;
    }
    const sinceLast = (timestamp - this.#timestamp) | 0;
    // An older event's packet, late: it was told when it began.
    if (ssrc === this.#ssrc && sinceLast < 0) return undefined;
    // §2.5.1.3: an event longer than a duration can say goes on as a segment, where the one before ended.
    const goesOn = ssrc === this.#ssrc && event === this.#event && sinceLast === this.#duration;
    this.#ssrc = ssrc;
    this.#timestamp = timestamp;
    this.#event = event;
    this.#duration = duration;
    return goesOn ? undefined : KEYS[event];
  }
}
