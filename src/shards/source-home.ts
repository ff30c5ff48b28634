/**
 * Where a source lives that a shard has opened: opens it there, once more in another shard when that one breaks down, and
 * knows when it is over. The shard's side is hosted-source.ts; what such a source is to others, shard-source.ts.
 */
import { TonetapError } from "../core/errors.ts";
import type { ShardLink, SourceReceiver } from "./shard-link.ts";
import type {
  OpenedSource,
  SourceAnswer,
  SourceKind,
  SourceOptions,
  SourceQuestion,
} from "./shard-protocol.ts";

/** Shards that may break down under somebody, before it is not tried again: it may be what breaks them. */
export const MAX_MOVES = 3;

export interface SourceHomeOptions<K extends SourceKind> {
  readonly number: number;
  readonly kind: K;
  /** What it is opened with: anew, as it is now, after its shard broke down. Undefined: it cannot be opened again. */
  readonly options: (opened: OpenedSource<K> | undefined) => SourceOptions<K> | undefined;
  /** @throws TonetapError when there will be no shard */
  readonly findShard: () => Promise<ShardLink>;
  /** It has ended without having been closed. Runs at most once, maybe before open() has resolved. */
  readonly onEnd?: (error: TonetapError | undefined) => void;
}

/** Whatever kind of source lives there. */
export type AnySourceHome = Pick<SourceHome, "number" | "over" | "timedOut" | "settled" | "end" | "close">;

export class SourceHome<K extends SourceKind = SourceKind> implements SourceReceiver {
  readonly number: number;
  readonly #options: SourceHomeOptions<K>;
  #link: ShardLink | undefined;
  /** Of the latest opening. */
  #settled: Promise<ShardLink>;
  #opened: OpenedSource<K> | undefined;
  #moves = 0;
  #over = false;
  #timedOut = false;
  #closing: Promise<void> | undefined;

  private constructor(options: SourceHomeOptions<K>) {
    this.number = options.number;
    this.#options = options;
    this.#settled = this.#openIn(options.findShard());
    this.#settled.catch(() => undefined);
  }

  /** @throws TonetapError what the source is refused by, unavailable when the shard is gone */
  static async open<K extends SourceKind>(
    options: SourceHomeOptions<K>,
  ): Promise<{ readonly home: SourceHome<K>; readonly opened: OpenedSource<K> }> {
    const home = new SourceHome(options);
    try {
      await home.settled();
    } catch (error) {
      home.#over = true;
      throw error;
    }
    if (home.#opened === undefined)
      throw new TonetapError("internal", "the shard did not say what it opened");
    return { home, opened: home.#opened };
  }

  /** It gives no more, or is being closed. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether it ended because nothing came for too long. */
  get timedOut(): boolean {
    return this.#timedOut;
  }

  /** The shard that it is open in, when it is. @throws TonetapError when it will not be any more */
  async settled(): Promise<ShardLink> {
    for (;;) {
      const settled = this.#settled;
      try {
        return await settled;
      } catch (error) {
        // The shard that it was to move to broke down, too.
        if (settled === this.#settled) throw error;
      }
    }
  }

  /** @throws what the source refuses by; TonetapError unavailable when its shard breaks down */
  async ask(question: SourceQuestion<K>): Promise<SourceAnswer<K>> {
    const link = await this.settled();
    return (await link.ask({ kind: "ask-source", source: this.number, question })) as SourceAnswer<K>;
  }

  /** It has ended in its shard, or there is nowhere left that it could be opened. */
  end(error: TonetapError | undefined, timedOut = false): void {
    if (this.#over) return;
    this.#over = true;
    this.#timedOut = timedOut;
    this.#link?.unregisterSource(this.number);
    this.#options.onEnd?.(error);
  }

  lost(error: TonetapError): void {
    if (this.#over) return;
    if (this.#moves === MAX_MOVES || this.#options.options(this.#opened) === undefined) {
      this.#settled = Promise.reject(error);
      this.#settled.catch(() => undefined);
      this.end(error);
      return;
    }
    this.#moves++;
    const moving = this.#openIn(this.#findAnother());
    this.#settled = moving;
    moving.catch((failure: unknown) => {
      if (this.#settled === moving) this.end(TonetapError.from(failure));
    });
  }

  /** @param timedOut it is closed because nothing came for too long */
  close(timedOut = false): Promise<void> {
    this.#closing ??= this.#close(timedOut);
    return this.#closing;
  }

  async #close(timedOut: boolean): Promise<void> {
    if (this.#over) {
      // Where it ended with its shard, its socket is free when that is gone.
      if (this.#link?.alive === false) await this.#link.gone();
      return;
    }
    this.#over = true;
    this.#timedOut = timedOut;
    // What is being opened elsewhere is closed there.
    const link = await this.settled().catch(() => undefined);
    try {
      await link?.ask({ kind: "close-source", source: this.number });
    } catch (error) {
      if (link?.alive) throw error;
      // With its shard the socket is gone too.
      await link?.gone();
    } finally {
      link?.unregisterSource(this.number);
    }
  }

  async #findAnother(): Promise<ShardLink> {
    // Until then its sockets are not free.
    await this.#link?.gone();
    return this.#options.findShard();
  }

  async #openIn(found: Promise<ShardLink>): Promise<ShardLink> {
    const link = await found;
    const options = this.#options.options(this.#opened);
    if (this.#over || options === undefined) throw new TonetapError("closed", "the source is closed");
    const { number, kind } = this.#options;
    this.#link = link;
    link.registerSource(number, this);
    try {
      this.#opened = await link.open(number, kind, options);
      return link;
    } catch (error) {
      link.unregisterSource(number);
      throw error;
    }
  }
}
