/** A real mediasoup worker with a router, and people who speak in it by plain RTP. */
import { createWorker, type types } from "mediasoup";
import { systemClock } from "../../../src/core/clock.ts";
import { CloseStack } from "../../../src/core/lifecycle.ts";
import { type AudioCodec, OPUS } from "../../../src/core/rtp.ts";
import { createRtpSender, type RtpSender } from "../../../src/transport/index.ts";

/** Of the speakers' own packets; the router uses others of its own choice. */
export const SPEAKER_PAYLOAD_TYPE = 111;
const SPEAKER_AUDIO_LEVEL_ID = 3;

export interface Speaker {
  readonly producer: types.Producer;
  readonly transport: types.PlainTransport;
  readonly sender: RtpSender;
}

export class Room implements AsyncDisposable {
  readonly worker: types.Worker;
  readonly router: types.Router;
  readonly #resources = new CloseStack();

  private constructor(worker: types.Worker, router: types.Router) {
    this.worker = worker;
    this.router = router;
    this.#resources.defer("worker", () => worker.close());
  }

  static async open(): Promise<Room> {
    const worker = await createWorker({ logLevel: "error" });
    const router = await worker.createRouter({
      mediaCodecs: [
        { kind: "audio", mimeType: "audio/opus", clockRate: 48_000, channels: 2 },
        { kind: "audio", mimeType: "audio/PCMU", clockRate: 8_000, preferredPayloadType: 0 },
        { kind: "video", mimeType: "video/VP8", clockRate: 90_000 },
      ],
    });
    return new Room(worker, router);
  }

  /** Someone comes in: a transport, a producer on it, a sender that feeds it. */
  async speaker(name: string, codec: AudioCodec = OPUS): Promise<Speaker> {
    const transport = await this.router.createPlainTransport({
      listenInfo: { protocol: "udp", ip: "127.0.0.1" },
      rtcpMux: true,
      comedia: true,
      appData: { name },
    });
    const sender = await createRtpSender({
      clock: systemClock,
      codec,
      payloadType: SPEAKER_PAYLOAD_TYPE,
      audioLevelId: SPEAKER_AUDIO_LEVEL_ID,
      host: "127.0.0.1",
      port: transport.tuple.localPort,
      reportEveryMs: 500,
    });
    this.#resources.use(`${name}'s sender`, sender);
    return { transport, sender, producer: await produce(transport, name, sender.stream.ssrc, codec) };
  }

  /** What the worker itself says is there. */
  async left(): Promise<{ transports: number; consumers: number }> {
    const { transportIds, mapConsumerIdProducerId } = await this.router.dump();
    return { transports: transportIds.length, consumers: mapConsumerIdProducerId.length };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.close();
  }
}

/** A producer for packets of `ssrc`. */
export const produce = (
  transport: types.PlainTransport,
  name: string,
  ssrc: number,
  codec: AudioCodec = OPUS,
): Promise<types.Producer> =>
  transport.produce({
    kind: "audio",
    rtpParameters: {
      codecs: [
        {
          mimeType: codec.mimeType as types.RtpCodecParameters["mimeType"],
          payloadType: SPEAKER_PAYLOAD_TYPE,
          clockRate: codec.clockRateHz,
          ...(codec === OPUS
            ? { channels: 2, parameters: { usedtx: 1 }, rtcpFeedback: [{ type: "nack" }] }
            : {}),
        },
      ],
      headerExtensions: [{ uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level", id: SPEAKER_AUDIO_LEVEL_ID }],
      encodings: [{ ssrc }],
    },
    appData: { name },
  });
