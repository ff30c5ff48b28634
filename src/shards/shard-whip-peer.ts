/**
 * A WHIP publisher whose connection lives in a shard, as the main thread holds it: HTTP asks here; ICE, DTLS and packets
 * never come here. The shard's side is hosted-whip.ts.
 */
import type { LineSignal } from "../core/line-signal.ts";
import type { CodecMap } from "../core/rtp.ts";
import { LineSignals } from "../transport/index.ts";
import type {
  IcePatch,
  IcePatched,
  WhipAnswer,
  WhipPeer,
  WhipPeerOptions,
} from "../transport/werift/whip-peer.ts";
import type { ShardLink } from "./shard-link.ts";
import { ShardSource } from "./shard-source.ts";
import { SourceHome } from "./source-home.ts";

/** What a publisher says beside its media, until its connection ends for whatever reason. */
class PublisherLine {
  readonly signals = new LineSignals();
  readonly #onEnd: () => void;
  #hasEnded = false;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  readonly end = (): void => {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.signals.end();
    this.#onEnd();
  };
}

class ShardWhipSource extends ShardSource {
  readonly kind = "whip";
  readonly codecs: CodecMap;
  readonly signals;
  readonly #line: PublisherLine;

  constructor(home: SourceHome<"whip">, codecs: CodecMap, line: PublisherLine) {
    super(home);
    this.codecs = codecs;
    this.signals = line.signals.observable;
    this.#line = line;
  }

  override async close(): Promise<void> {
    try {
      await super.close();
    } finally {
      this.#line.end();
    }
  }
}

export class ShardWhipPeer implements WhipPeer {
  readonly source: ShardSource;
  readonly answer: WhipAnswer;
  readonly #home: SourceHome<"whip">;
  readonly #line: PublisherLine;

  private constructor(
    source: ShardSource,
    answer: WhipAnswer,
    home: SourceHome<"whip">,
    line: PublisherLine,
  ) {
    this.source = source;
    this.answer = answer;
    this.#home = home;
    this.#line = line;
  }

  /**
   * @param onEnd called once, when the connection has ended for whatever reason, or its shard
   * @throws TonetapError as a session on this thread; unavailable when the shard broke down meanwhile
   */
  static async open(
    number: number,
    findShard: () => Promise<ShardLink>,
    options: WhipPeerOptions,
    onEnd: () => void,
  ): Promise<ShardWhipPeer> {
    const line = new PublisherLine(onEnd);
    let opened = false;
    const { home, opened: answer } = await SourceHome.open({
      number,
      kind: "whip",
      findShard,
      // Once: the keys of its DTLS connection are gone with its shard, and an offer that breaks one must not break another.
      options: () => {
        if (opened) return undefined;
        opened = true;
        return options;
      },
      onEnd: line.end,
    });
    const codecs = new Map(options.offer.codecs.map(({ payloadType, codec }) => [payloadType, codec]));
    return new ShardWhipPeer(new ShardWhipSource(home, codecs, line), answer, home, line);
  }

  patch(patch: IcePatch): Promise<IcePatched> {
    return this.#home.ask(patch);
  }

  tell(signal: LineSignal): void {
    this.#line.signals.tell(signal);
  }

  close(): Promise<void> {
    return this.source.close();
  }
}
