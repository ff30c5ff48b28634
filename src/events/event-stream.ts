/** A subscription as an async iterable, for `for await`. One reader at a time. */
import type { EventSubscription } from "./event-subscription.ts";
import type { EventKind, EventOfAny } from "./schema.ts";

/** @typeParam K the kinds that its filter lets through */
export class EventStream<K extends EventKind = EventKind>
  implements AsyncIterableIterator<EventOfAny<K>, undefined>
{
  readonly #subscription: EventSubscription;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#end();
  /** By its reader: what it has not taken it does not want. A hub that closes ends the subscription only. */
  #ended = false;
  #waiting: ((result: IteratorResult<EventOfAny<K>, undefined>) => void)[] = [];

  constructor(subscribe: (wake: () => void) => EventSubscription, signal: AbortSignal | undefined) {
    this.#subscription = subscribe(() => this.#wake());
    this.#signal = signal;
    if (signal?.aborted === true) this.#end();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Events missed so far, because the loop was slower than they came. */
  get dropped(): number {
    return this.#subscription.dropped;
  }

  next(): Promise<IteratorResult<EventOfAny<K>, undefined>> {
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const published = this.#subscription.take();
    if (published !== undefined)
      return Promise.resolve({ done: false, value: published.event as EventOfAny<K> });
    if (this.#subscription.closed) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Leaving the loop ends the subscription. */
  return(): Promise<IteratorResult<EventOfAny<K>, undefined>> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #end(): void {
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#subscription.close();
  }

  #wake(): void {
    while (this.#waiting.length > 0) {
      const published = this.#subscription.take();
      if (published === undefined && !this.#subscription.closed) return;
      const resolve = this.#waiting.shift();
      resolve?.(
        published === undefined
          ? { done: true, value: undefined }
          : { done: false, value: published.event as EventOfAny<K> },
      );
    }
  }
}
