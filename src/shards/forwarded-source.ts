/** A source in a shard whose packets come from the main thread, where the platform gives them. The main side is shard-media.ts. */
import { Subject } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import type { TonetapError } from "../core/errors.ts";
import type { AudioCodec, CodecMap, RtpPacket, SenderReport } from "../core/rtp.ts";

export interface ForwardedSourceOptions {
  readonly kind: string;
  readonly codecs: CodecMap;
  /** Undefined: the platform cannot ask for packets again. */
  readonly requestRetransmission: ((sequences: readonly number[]) => void) | undefined;
}

export class ForwardedSource implements AudioSource {
  readonly kind: string;
  readonly codecs: Map<number, AudioCodec>;
  readonly packets = new Subject<RtpPacket>();
  readonly senderReports = new Subject<SenderReport>();
  readonly requestRetransmission: (sequences: readonly number[]) => void;

  constructor({ kind, codecs, requestRetransmission }: ForwardedSourceOptions) {
    this.kind = kind;
    this.codecs = new Map(codecs);
    this.requestRetransmission = requestRetransmission ?? (() => undefined);
  }

  /** The platform has agreed on further payload types. */
  learn(codecs: CodecMap): void {
    for (const [payloadType, codec] of codecs) this.codecs.set(payloadType, codec);
  }

  /** The platform's source gives no more. */
  end(error: TonetapError | undefined): void {
    this.senderReports.complete();
    if (error === undefined) this.packets.complete();
    else this.packets.error(error);
  }

  close(): Promise<void> {
    this.end(undefined);
    return Promise.resolve();
  }
}
