/** Gives each leg a UDP port for its RTP: any free one, or one of a range that a firewall lets through. */
import { randomInt } from "node:crypto";
import { TonetapError } from "../../core/errors.ts";
import type { OpenSipReception, SipReception, SipReceptionOptions } from "./sip-reception.ts";

/** Other programs' ports that are met in a row before it is given up. */
const MAX_TAKEN = 50;

export class RtpPorts {
  readonly #open: OpenSipReception;
  readonly #host: string;
  /** Even ports, each with its neighbour for RTCP (RFC 3550 §11). */
  readonly #first: number;
  readonly #count: number;
  readonly #used = new Set<number>();
  readonly #closing = new Set<Promise<void>>();
  #next: number;

  /**
   * @param open receives on the ports that are given out
   * @param range first and last port; undefined: the system picks.
   */
  constructor(open: OpenSipReception, host: string, range: readonly [number, number] | undefined) {
    this.#open = open;
    this.#host = host;
    const [low, high] = range ?? [0, 0];
    this.#first = low + (low % 2);
    this.#count = range === undefined ? 0 : Math.max(0, Math.floor((high + 1 - this.#first) / 2));
    // A leg that has just ended may still be sent to: its port is not the next one taken.
    this.#next = this.#count === 0 ? 0 : randomInt(this.#count);
  }

  /** Legs that have a port. */
  get used(): number {
    return this.#used.size;
  }

  /** @throws TonetapError overloaded when the range is used up, unavailable when the system has none. */
  async open(options: Omit<SipReceptionOptions, "host" | "port">, onEnd: () => void): Promise<SipReception> {
    const open = this.#open;
    const host = this.#host;
    if (this.#count === 0) {
      const reception = await open({ ...options, host, port: 0 }, onEnd);
      this.#used.add(reception.address.port);
      return reception;
    }
    let taken = 0;
    for (let step = 0; step < this.#count && taken < MAX_TAKEN; step++) {
      const port = this.#first + 2 * this.#next;
      this.#next = (this.#next + 1) % this.#count;
      if (this.#used.has(port)) continue;
      this.#used.add(port);
      try {
        return await open({ ...options, host, port }, onEnd);
      } catch (error) {
        this.#used.delete(port);
        if (!(error instanceof TonetapError) || error.code !== "unavailable") throw error;
        taken++;
      }
    }
    throw new TonetapError("overloaded", "all RTP ports are in use");
  }

  /** The leg is over. Its number is given out again when nothing is bound to it any more. */
  release(reception: SipReception): void {
    const free = (): void => {
      this.#used.delete(reception.address.port);
      this.#closing.delete(closing);
    };
    const closing = reception.close().then(free, free);
    this.#closing.add(closing);
  }

  /** Nothing is bound to what was released before. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }
}
