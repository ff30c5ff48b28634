/** One voice of a recording in a stream that a shard receives, as the main thread holds it. The shard's side is hosted-sip.ts. */
import type { CodecMap } from "../core/rtp.ts";
import { LineSignals } from "../transport/index.ts";
import type { SipReception, SipVoice } from "../transport/sip/index.ts";
import { ShardSource } from "./shard-source.ts";
import { type AnySourceHome, SourceHome } from "./source-home.ts";

/** The stream that it comes in at. */
type Reception = Pick<SipReception, "codecs" | "closed" | "timedOut"> & { readonly home: AnySourceHome };

export class ShardSipVoice extends ShardSource implements SipVoice {
  readonly kind = "siprec";
  readonly line = new LineSignals();
  readonly signals = this.line.observable;
  readonly #home: SourceHome<"sip-voice">;
  readonly #reception: Reception;
  /** In whatever shard it is. */
  readonly #state: { held: boolean };
  readonly #onClosed: () => void;
  #closed = false;

  private constructor(
    home: SourceHome<"sip-voice">,
    reception: Reception,
    state: { held: boolean },
    onClosed: () => void,
  ) {
    super(home);
    this.#home = home;
    this.#reception = reception;
    this.#state = state;
    this.#onClosed = onClosed;
  }

  /** @throws TonetapError closed when its stream has ended */
  static async open(number: number, reception: Reception, onClosed: () => void): Promise<ShardSipVoice> {
    const state = { held: false };
    const { home } = await SourceHome.open({
      number,
      kind: "sip-voice",
      // It goes where its stream goes.
      findShard: () => reception.home.settled(),
      options: () => (reception.closed ? undefined : { reception: reception.home.number, ...state }),
    });
    return new ShardSipVoice(home, reception, state, onClosed);
  }

  get codecs(): CodecMap {
    return this.#reception.codecs;
  }

  get closed(): boolean {
    return this.home.over || this.#reception.closed;
  }

  override get timedOut(): boolean {
    return !this.#closed && this.#reception.timedOut;
  }

  get held(): boolean {
    return this.#state.held;
  }

  set held(held: boolean) {
    if (held === this.#state.held) return;
    this.#state.held = held;
    // Should its shard break down meanwhile, it is said when it is opened in another.
    this.#home.ask({ held }).catch(() => undefined);
  }

  override close(): Promise<void> {
    if (!this.closed) {
      this.#closed = true;
      // It is over before anybody is told.
      void this.#home.close();
      this.line.end();
      this.#onClosed();
    }
    return this.#home.close();
  }
}
