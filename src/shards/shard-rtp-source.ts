/** A UDP port that a shard has opened, as the main thread holds it: its packets never come here. Give it to engine.attach(). */
import { type Observable, throwError } from "rxjs";
import { TonetapError } from "../core/errors.ts";
import type { CodecMap, RtpPacket } from "../core/rtp.ts";
import type { RtpDoor, RtpDoorOptions } from "../media-host.ts";
import type { UdpAddress } from "../transport/index.ts";
import type { ShardLink } from "./shard-link.ts";

export class ShardRtpSource implements RtpDoor {
  readonly kind = "rtp";
  readonly number: number;
  readonly address: UdpAddress;
  readonly codecs: CodecMap;
  /** Whoever looks for them here is told. */
  readonly packets: Observable<RtpPacket> = throwError(
    () =>
      new TonetapError("conflict", "this source's packets are read in a shard: give it to engine.attach()"),
  );
  readonly #options: RtpDoorOptions;
  #link: ShardLink;
  #timedOut = false;
  #over = false;

  private constructor(
    number: number,
    link: ShardLink,
    options: RtpDoorOptions,
    address: UdpAddress,
    codecs: CodecMap,
  ) {
    this.number = number;
    this.#link = link;
    this.#options = options;
    this.address = address;
    this.codecs = codecs;
  }

  /** @throws TonetapError as createUdpRtpSource(), unavailable when the shard is gone */
  static async open(number: number, link: ShardLink, options: RtpDoorOptions): Promise<ShardRtpSource> {
    const opened = await link.ask({ kind: "open-rtp", source: number, options });
    if (opened === undefined) throw new TonetapError("internal", "the shard did not say where it listens");
    return new ShardRtpSource(number, link, options, opened.address, opened.codecs);
  }

  /** The shard that it lives in. */
  get link(): ShardLink {
    return this.#link;
  }

  get timedOut(): boolean {
    return this.#timedOut;
  }

  /**
   * Whether it can be opened once more at the same port. Not with SRTP: how often the sequence numbers of a sender have
   * wrapped is known by none but who counted (RFC 3711 §3.3.1).
   */
  get canMove(): boolean {
    return !this.#over && this.#options.srtp === undefined;
  }

  /** Opens the same port in another shard. */
  async openAgain(link: ShardLink): Promise<void> {
    this.#link = link;
    const { host, port } = this.address;
    await link.ask({ kind: "open-rtp", source: this.number, options: { ...this.#options, host, port } });
  }

  ended(timedOut: boolean): void {
    this.#over = true;
    this.#timedOut = timedOut;
  }

  async close(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const link = this.#link;
    try {
      await link.ask({ kind: "close-source", source: this.number });
    } catch (error) {
      // With its shard the socket is gone too.
      if (link.alive) throw error;
    }
  }
}
