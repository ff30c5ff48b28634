/** Events that a `for await` loop has not taken yet: bounded, the oldest go first, counted. */
import type { TonetapEvent } from "../events/schema.ts";

type Result = IteratorResult<TonetapEvent, undefined>;

export class Inbox implements AsyncIterableIterator<TonetapEvent, undefined> {
  readonly #limit: number;
  readonly #onEnd: (inbox: Inbox) => void;
  readonly #events: TonetapEvent[] = [];
  readonly #waiting: ((result: Result) => void)[] = [];
  #dropped = 0;
  #ended = false;

  constructor(limit: number, onEnd: (inbox: Inbox) => void) {
    this.#limit = limit;
    this.#onEnd = onEnd;
  }

  /** Events that the loop was too slow for. */
  get dropped(): number {
    return this.#dropped;
  }

  push(event: TonetapEvent): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: event });
      return;
    }
    if (this.#events.length === this.#limit) {
      this.#events.shift();
      this.#dropped++;
    }
    this.#events.push(event);
  }

  /** No more come; what is here can still be taken. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
    this.#onEnd(this);
  }

  next(): Promise<Result> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  return(): Promise<Result> {
    this.#events.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
