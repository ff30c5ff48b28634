/** A source whose sockets are in this shard: opens each kind of them. The main side is source-home.ts. */
import type { AudioSource } from "../core/audio-source.ts";
import type { Clock } from "../core/clock.ts";
import type { TonetapError } from "../core/errors.ts";
import { createUdpRtpSource } from "../transport/index.ts";
import { openSip, openVoice } from "./hosted-sip.ts";
import { openWhip } from "./hosted-whip.ts";
import type {
  OpenedSource,
  SourceAnswer,
  SourceKind,
  SourceOpening,
  SourceQuestion,
} from "./shard-protocol.ts";

export interface HostedSource<K extends SourceKind = SourceKind> {
  readonly source: AudioSource;
  /** What the main thread is answered. */
  readonly opened: OpenedSource<K>;
  /** Of its kind. */
  ask?(question: SourceQuestion<K>): Promise<SourceAnswer<K>>;
}

export interface HostedSourceContext {
  readonly clock: Clock;
  /** Another that this shard has opened. */
  readonly find: (source: number) => AudioSource | undefined;
  /** For sources whose end somebody must hear who is not attached to them. Runs at most once. */
  readonly onEnd: (error: TonetapError | undefined, timedOut: boolean) => void;
}

/** @throws TonetapError as whatever opens such a source on the main thread */
export async function openSource(
  opening: SourceOpening,
  context: HostedSourceContext,
): Promise<HostedSource> {
  switch (opening.kind) {
    case "rtp": {
      const source = await createUdpRtpSource({ ...opening.options, clock: context.clock });
      return { source, opened: { address: source.address, codecs: source.codecs } };
    }
    case "whip":
      return openWhip(opening.options, context);
    case "sip":
      return openSip(opening.options, context);
    case "sip-voice":
      return openVoice(opening.options, context);
    default:
      return opening satisfies never;
  }
}
