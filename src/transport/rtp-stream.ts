/** The sending end of one RTP stream: numbers, stamps and reports. When and where to send is rtp-sender.ts. */
import { randomInt } from "node:crypto";
import { assertRange } from "../core/errors.ts";
import type { AudioCodec, AudioLevel } from "../core/rtp.ts";
import type { WallMs } from "../core/units.ts";
import { concatBytes } from "./bytes.ts";
import { payloadTicks } from "./packet-duration.ts";
import { serializeBye, serializeCname, serializeSenderReport } from "./rtcp.ts";
import { audioLevelExtension, serializeRtp } from "./rtp-packet.ts";

/** Length of a frame that does not say it, ms. RFC 3551 §4.2. */
const DEFAULT_FRAME_MS = 20;

/** One encoded payload to send. */
export interface RtpFrame {
  readonly payload: Uint8Array;
  /** Ticks until the next frame is due: longer than the payload where silence is left out. Default: the payload's own length. */
  readonly durationTicks?: number;
  /** First frame after silence (RFC 3551 §4.1). Default: the stream's first frame only. */
  readonly marker?: boolean;
  /** Sent if `audioLevelId` is set. */
  readonly audioLevel?: AudioLevel;
}

export interface RtpStreamOptions {
  readonly codec: AudioCodec;
  /** 0–127. */
  readonly payloadType: number;
  /** Random by default, as are the first sequence number and timestamp (RFC 3550 §5.1). */
  readonly ssrc?: number;
  readonly sequence?: number;
  readonly timestamp?: number;
  /** Local identifier of the RFC 6464 audio level. 1–255; none by default. */
  readonly audioLevelId?: number;
  /** Canonical name (RFC 3550 §6.5.1), told with each report. Default `tonetap`. */
  readonly cname?: string;
}

export class RtpStream {
  readonly ssrc: number;
  readonly codec: AudioCodec;
  readonly #payloadType: number;
  readonly #audioLevelId: number | undefined;
  readonly #cname: string;
  readonly #firstTimestamp: number;
  #sequence: number;
  #elapsedTicks = 0;
  #packets = 0;
  #octets = 0;

  /** @throws TonetapError invalid-argument naming the option. */
  constructor(options: RtpStreamOptions) {
    assertRange("payloadType", options.payloadType, 0, 127);
    if (options.audioLevelId !== undefined) assertRange("audioLevelId", options.audioLevelId, 1, 255);
    this.codec = options.codec;
    this.ssrc = options.ssrc ?? randomInt(2 ** 32);
    this.#payloadType = options.payloadType;
    this.#audioLevelId = options.audioLevelId;
    this.#cname = options.cname ?? "tonetap";
    this.#sequence = options.sequence ?? randomInt(2 ** 16);
    this.#firstTimestamp = options.timestamp ?? randomInt(2 ** 32);
  }

  /** Media time of the next frame, ticks since the first. */
  get elapsedTicks(): number {
    return this.#elapsedTicks;
  }

  get packets(): number {
    return this.#packets;
  }

  /** Ticks that `frame` takes. */
  frameTicks(frame: RtpFrame): number {
    return (
      frame.durationTicks ??
      payloadTicks(this.codec, frame.payload) ??
      (this.codec.clockRateHz * DEFAULT_FRAME_MS) / 1000
    );
  }

  /** The packet for the next frame; time moves on by the frame's length. */
  packet(frame: RtpFrame): Uint8Array {
    const { payload, marker = this.#packets === 0, audioLevel } = frame;
    const id = this.#audioLevelId;
    const datagram = serializeRtp({
      sequence: this.#sequence,
      timestamp: this.#firstTimestamp + this.#elapsedTicks,
      ssrc: this.ssrc,
      payloadType: this.#payloadType,
      marker,
      payload,
      ...(id === undefined || audioLevel === undefined
        ? {}
        : { extensions: [audioLevelExtension(id, audioLevel)] }),
    });
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#packets++;
    this.#octets += payload.length;
    this.#elapsedTicks += this.frameTicks(frame);
    return datagram;
  }

  /** Lets media time pass without sending, ticks. */
  skip(ticks: number): void {
    this.#elapsedTicks += ticks;
  }

  /** Sender report and name: at `wall` it was `ticks` since the first frame. */
  report(wall: WallMs, ticks: number): Uint8Array {
    return concatBytes([
      serializeSenderReport({
        ssrc: this.ssrc,
        ntpWallMs: wall,
        rtpTimestamp: this.#firstTimestamp + ticks,
        packets: this.#packets,
        octets: this.#octets,
      }),
      serializeCname(this.ssrc, this.#cname),
    ]);
  }

  /** A last report, name and BYE. */
  bye(wall: WallMs, ticks: number): Uint8Array {
    return concatBytes([this.report(wall, ticks), serializeBye(this.ssrc)]);
  }
}
