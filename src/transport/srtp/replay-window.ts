/** Remembers which packet indices came, so that none passes twice (RFC 3711 §3.3.2). Indices are exact to 2⁵³. */

/** Packets. RFC 3711 asks for 64 at least; libwebrtc has 1,024: twenty seconds of speech. */
export const DEFAULT_REPLAY_PACKETS = 1024;

export class ReplayWindow {
  readonly #packets: number;
  readonly #seen: Uint32Array;
  #highest = -1;

  /** @param packets a multiple of 32 */
  constructor(packets: number = DEFAULT_REPLAY_PACKETS) {
    this.#packets = packets;
    this.#seen = new Uint32Array(packets / 32);
  }

  /** The highest index that came; −1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /** Whether a packet may be taken: not seen, and not older than the window. */
  check(index: number): "fresh" | "replayed" | "too-old" {
    if (index > this.#highest) return "fresh";
    if (index < 0 || index <= this.#highest - this.#packets) return "too-old";
    const bit = index % this.#packets;
    return ((this.#seen[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0 ? "fresh" : "replayed";
  }

  /** Marks a fresh index as seen. Only after the packet is authenticated: forgeries must not move the window. */
  add(index: number): void {
    if (index > this.#highest) this.#advance(index);
    const bit = index % this.#packets;
    this.#seen[bit >>> 5] = (this.#seen[bit >>> 5] ?? 0) | (1 << (bit & 31));
  }

  /** Forgets what now falls out of the window. */
  #advance(index: number): void {
    if (index - this.#highest >= this.#packets) this.#seen.fill(0);
    else {
      for (let skipped = this.#highest + 1; skipped <= index; skipped++) {
        const bit = skipped % this.#packets;
        this.#seen[bit >>> 5] = (this.#seen[bit >>> 5] ?? 0) & ~(1 << (bit & 31));
      }
    }
    this.#highest = index;
  }
}
