/** A UDP port that a shard has opened, as the main thread holds it. */
import type { CodecMap } from "../core/rtp.ts";
import type { RtpDoor, RtpDoorOptions } from "../media-host.ts";
import type { UdpAddress } from "../transport/index.ts";
import type { ShardLink } from "./shard-link.ts";
import type { OpenedSource } from "./shard-protocol.ts";
import { ShardSource } from "./shard-source.ts";
import { SourceHome } from "./source-home.ts";

export class ShardRtpSource extends ShardSource implements RtpDoor {
  readonly kind = "rtp";
  readonly address: UdpAddress;
  readonly codecs: CodecMap;

  private constructor(home: SourceHome<"rtp">, { address, codecs }: OpenedSource<"rtp">) {
    super(home);
    this.address = address;
    this.codecs = codecs;
  }

  /** @throws TonetapError as createUdpRtpSource(), unavailable when the shard is gone */
  static async open(
    number: number,
    findShard: () => Promise<ShardLink>,
    options: RtpDoorOptions,
  ): Promise<ShardRtpSource> {
    const { home, opened } = await SourceHome.open({
      number,
      kind: "rtp",
      findShard,
      options: (before) => {
        if (before === undefined) return options;
        // How often a sender's sequence numbers have wrapped is known by none but who counted (RFC 3711 §3.3.1).
        return options.srtp === undefined ? { ...options, ...before.address } : undefined;
      },
    });
    return new ShardRtpSource(home, opened);
  }
}
