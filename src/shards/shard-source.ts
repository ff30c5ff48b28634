/** A source whose packets are read in a shard, as the main thread holds it: they never come here. Give it to engine.attach(). */
import { type Observable, throwError } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import { TonetapError } from "../core/errors.ts";
import type { CodecMap, RtpPacket } from "../core/rtp.ts";
import type { AnySourceHome } from "./source-home.ts";

export abstract class ShardSource implements AudioSource {
  abstract readonly kind: string;
  abstract readonly codecs: CodecMap;
  readonly home: AnySourceHome;
  /** Whoever looks for them here is told. */
  readonly packets: Observable<RtpPacket> = throwError(
    () =>
      new TonetapError("conflict", "this source's packets are read in a shard: give it to engine.attach()"),
  );

  constructor(home: AnySourceHome) {
    this.home = home;
  }

  get timedOut(): boolean {
    return this.home.timedOut;
  }

  close(): Promise<void> {
    return this.home.close();
  }
}
