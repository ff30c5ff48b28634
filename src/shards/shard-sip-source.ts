/**
 * A SIP leg's audio that a shard receives, as its signalling sees it on the main thread. The shard's side is hosted-sip.ts, a
 * voice of a recording in it shard-sip-voice.ts.
 */
import { TonetapError } from "../core/errors.ts";
import type { CodecMap } from "../core/rtp.ts";
import { LineSignals, type UdpAddress } from "../transport/index.ts";
import type { SipAgreement, SipReception, SipReceptionOptions, SipVoice } from "../transport/sip/index.ts";
import type { ShardLink } from "./shard-link.ts";
import { ShardSipVoice } from "./shard-sip-voice.ts";
import { ShardSource } from "./shard-source.ts";
import { SourceHome } from "./source-home.ts";

export interface ShardSipOptions {
  readonly reception: SipReceptionOptions;
  /** Numbers for sources. */
  readonly number: () => number;
  readonly findShard: () => Promise<ShardLink>;
  /** Runs once, when it has ended for whatever reason. */
  readonly onEnd: () => void;
}

/** What holds in whatever shard it is. */
interface SipState {
  readonly heard: Float64Array<SharedArrayBuffer>;
  /** All that was agreed on. */
  agreement: SipAgreement | undefined;
}

const NO_CODECS: CodecMap = new Map();

export class ShardSipSource extends ShardSource implements SipReception {
  readonly kind = "sip";
  readonly address: UdpAddress;
  readonly line = new LineSignals();
  readonly signals = this.line.observable;
  readonly #options: ShardSipOptions;
  readonly #state: SipState;
  readonly #home: SourceHome<"sip">;

  private constructor(
    options: ShardSipOptions,
    state: SipState,
    home: SourceHome<"sip">,
    address: UdpAddress,
  ) {
    super(home);
    this.address = address;
    this.#options = options;
    this.#state = state;
    this.#home = home;
  }

  /** @throws TonetapError unavailable when the port cannot be had */
  static async open(options: ShardSipOptions): Promise<ShardSipSource> {
    const { reception, number, findShard, onEnd } = options;
    const heard = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT));
    const state: SipState = { heard, agreement: undefined };
    let source: ShardSipSource | undefined;
    const { home, opened } = await SourceHome.open({
      number: number(),
      kind: "sip",
      findShard,
      options: (before) => {
        // How often the peer's sequence numbers have wrapped is known by none but who counted (RFC 3711 §3.3.1).
        if (before !== undefined && state.agreement?.key !== undefined) return undefined;
        return { ...reception, ...before?.address, ...state };
      },
      onEnd: () => {
        if (source === undefined) onEnd();
        else source.#ended();
      },
    });
    source = new ShardSipSource(options, state, home, opened.address);
    return source;
  }

  get codecs(): CodecMap {
    return this.#state.agreement?.codecs ?? NO_CODECS;
  }

  get closed(): boolean {
    return this.home.over;
  }

  get lastHeardMs(): number {
    return this.#state.heard[0] ?? 0;
  }

  async agree(agreement: SipAgreement): Promise<void> {
    const before = this.#state.agreement;
    const codecs = new Map([...this.codecs, ...agreement.codecs]);
    this.#state.agreement = { ...agreement, codecs, key: agreement.key ?? before?.key };
    try {
      await this.#home.ask(agreement);
    } catch (error) {
      if (TonetapError.from(error).code !== "unavailable") throw error;
      // Its shard broke down: another opens it as it was agreed on now, or the call ends.
      await this.#home.settled().catch(() => undefined);
    }
  }

  voice(onClosed: () => void): Promise<SipVoice> {
    return ShardSipVoice.open(this.#options.number(), this, onClosed);
  }

  override close(): Promise<void> {
    return this.#close(false);
  }

  expire(): Promise<void> {
    return this.#close(true);
  }

  #close(timedOut: boolean): Promise<void> {
    const { over } = this.#home;
    const closed = this.#home.close(timedOut);
    if (!over) this.#ended();
    return closed;
  }

  #ended(): void {
    this.line.end();
    this.#options.onEnd();
  }
}
