/** A first-in first-out queue that cannot grow past its limit and counts what it dropped. */
import { assertRange } from "./errors.ts";

/** What a full queue gives up: its oldest entry, or the one that is arriving. */
export type DropPolicy = "drop-oldest" | "drop-newest";

export class BoundedQueue<T> {
  readonly limit: number;
  readonly policy: DropPolicy;
  readonly #ring: (T | undefined)[];
  #head = 0;
  #length = 0;
  #dropped = 0;

  constructor(limit: number, policy: DropPolicy) {
    assertRange("queue limit", limit, 1, 1 << 24);
    this.limit = limit;
    this.policy = policy;
    this.#ring = new Array<T | undefined>(limit);
  }

  get length(): number {
    return this.#length;
  }

  /** Entries given up since construction. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Appends `item`; returns the entry that had to go, if any (it may be `item` itself). */
  push(item: T): T | undefined {
    let evicted: T | undefined;
    if (this.#length === this.limit) {
      this.#dropped++;
      if (this.policy === "drop-newest") return item;
      evicted = this.shift();
    }
    this.#ring[(this.#head + this.#length) % this.limit] = item;
    this.#length++;
    return evicted;
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#ring[this.#head];
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.limit;
    this.#length--;
    return item;
  }

  clear(): void {
    this.#ring.fill(undefined);
    this.#head = 0;
    this.#length = 0;
  }
}
