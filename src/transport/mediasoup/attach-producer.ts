/** Attaches a single producer. Following the producers of a whole room is attach-router.ts. */
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { MediasoupProducer, MediasoupRouter } from "./mediasoup-types.ts";
import { ProducerSource, type ProducerSourceOptions } from "./producer-source.ts";

/** What participants are attached to: an engine. */
export interface AttachTarget<P extends Closable = Closable> {
  attach(source: AudioSource, info: ParticipantInfo): Promise<P>;
}

/**
 * One audio producer as a source. It completes when the producer, its transport or the router closes, and fails as
 * unavailable when the worker is gone; a paused producer gives no packets and goes on when resumed. `replaceTrack` on the sending side changes nothing here.
 * @throws TonetapError invalid-argument for video, media for a codec that cannot be decoded, closed when producer or
 * router are, unavailable when mediasoup refuses for another reason
 */
export const sourceFromProducer = (
  router: MediasoupRouter,
  producer: MediasoupProducer,
  options: ProducerSourceOptions = {},
): Promise<AudioSource> => ProducerSource.open(router, producer, true, options);

/**
 * Makes `producer` a participant until it closes.
 * @returns what `engine.attach` gives: the participant; closing it leaves the producer as it is.
 * @throws as {@link sourceFromProducer} and `engine.attach`
 */
export async function attachProducer<P extends Closable>(
  engine: AttachTarget<P>,
  router: MediasoupRouter,
  producer: MediasoupProducer,
  info: ParticipantInfo,
  options: ProducerSourceOptions = {},
): Promise<P> {
  const source = await sourceFromProducer(router, producer, options);
  try {
    return await engine.attach(source, info);
  } catch (error) {
    await source.close();
    throw error;
  }
}
