/** One consumer of one audio producer, and what its RTP parameters mean to us. Whose transport it is on is the caller's. */
import { TonetapError } from "../../core/errors.ts";
import type { AudioCodec, AudioMimeType, CodecMap } from "../../core/rtp.ts";
import type {
  MediasoupConsumer,
  MediasoupConsumingTransport,
  MediasoupProducer,
  MediasoupRouter,
  MediasoupRtpParameters,
} from "./mediasoup-types.ts";

/** RFC 6464 §4. */
const AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/** What our transports carry as `appData`, so that a program that lists its transports knows them. */
export const TRANSPORT_APP_DATA = { tonetap: true } as const;

const MIME_TYPES = [
  "audio/opus",
  "audio/PCMU",
  "audio/PCMA",
  "audio/CN",
  "audio/telephone-event",
] as const satisfies readonly AudioMimeType[];

const SPEECH: ReadonlySet<AudioMimeType> = new Set(["audio/opus", "audio/PCMU", "audio/PCMA"]);

/**
 * Consumes `producer`, paused: no packet flows before its listener is there.
 * @throws TonetapError invalid-argument for video, media for a codec that cannot be decoded, closed when producer or
 * router are, unavailable when mediasoup refuses for another reason (such as a producer of another router)
 */
export async function consumeAudio(
  router: MediasoupRouter,
  transport: MediasoupConsumingTransport,
  producer: MediasoupProducer,
): Promise<MediasoupConsumer> {
  const consumer = await attempt(router, producer, () =>
    transport.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities, paused: true }),
  );
  // mediasoup tells a consumer of its producer's end; one that ended before the consumer was there tells nobody.
  if (producer.closed || consumer.closed) {
    consumer.close();
    throw producerClosed(producer);
  }
  const { codecs } = consumer.rtpParameters;
  if (![...codecsOf(consumer.rtpParameters).values()].some(({ mimeType }) => SPEECH.has(mimeType))) {
    consumer.close();
    const found = codecs.map(({ mimeType }) => mimeType).join(", ");
    throw new TonetapError(
      "media",
      `producer ${producer.id} sends ${found}; Opus, PCMU and PCMA are decoded`,
    );
  }
  return consumer;
}

/** @throws TonetapError invalid-argument when it is no audio producer, closed when it has ended */
export function assertAudio(producer: MediasoupProducer): void {
  if (producer.kind !== "audio") {
    throw new TonetapError("invalid-argument", `producer ${producer.id} must be audio, got ${producer.kind}`);
  }
  if (producer.closed) throw producerClosed(producer);
}

/** Runs a request to the worker; says why it failed in our terms. */
export async function attempt<T>(
  router: MediasoupRouter,
  producer: MediasoupProducer,
  request: () => Promise<T>,
): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (router.closed) throw new TonetapError("closed", "the mediasoup router is closed", { cause: error });
    if (producer.closed) throw producerClosed(producer);
    throw TonetapError.from(error, "unavailable", `mediasoup cannot give producer ${producer.id}`);
  }
}

const producerClosed = (producer: MediasoupProducer): TonetapError =>
  new TonetapError("closed", `producer ${producer.id} is closed`);

/** Payload type → codec. A router gives all its producers' packets its own payload types. */
export function codecsOf({ codecs }: MediasoupRtpParameters): CodecMap {
  const map = new Map<number, AudioCodec>();
  for (const { mimeType, payloadType, clockRate, channels = 1 } of codecs) {
    const known = MIME_TYPES.find((candidate) => candidate.toLowerCase() === mimeType.toLowerCase());
    if (known !== undefined) map.set(payloadType, { mimeType: known, clockRateHz: clockRate, channels });
  }
  return map;
}

/** Id of the RFC 6464 audio level in the consumer's packets, if its producer sends it. */
export const audioLevelIdOf = ({ headerExtensions = [] }: MediasoupRtpParameters): number | undefined =>
  headerExtensions.find(({ uri }) => uri === AUDIO_LEVEL_URI)?.id;
