/** Compiled, not run: mediasoup's own types fit those that tonetap/mediasoup is written against. */
import type { types } from "mediasoup";
import type { Engine } from "../../../src/index.ts";
import {
  type AttachTarget,
  attachProducer,
  attachRouter,
  forwardProducer,
  type MediasoupConsumer,
  type MediasoupConsumingTransport,
  type MediasoupPlainTransport,
  type MediasoupProducer,
  type MediasoupRouter,
  type MediasoupTransport,
  sourceFromProducer,
} from "../../../src/transport/mediasoup/index.ts";

export const consumer = (theirs: types.Consumer): MediasoupConsumer => theirs;
export const producer = (theirs: types.Producer): MediasoupProducer => theirs;
export const transport = (theirs: types.Transport): MediasoupTransport => theirs;
export const webRtcTransport = (theirs: types.WebRtcTransport): MediasoupTransport => theirs;
export const directTransport = (theirs: types.DirectTransport): MediasoupConsumingTransport => theirs;
export const plainTransport = (theirs: types.PlainTransport): MediasoupPlainTransport => theirs;
export const router = (theirs: types.Router): MediasoupRouter => theirs;
export const engine = (ours: Engine): AttachTarget => ours;

// A program's own appData types are no hindrance.
export const typedRouter = (theirs: types.Router<{ room: string }>): MediasoupRouter => theirs;
export const typedProducer = (theirs: types.Producer<{ name: string }>): MediasoupProducer => theirs;

// @ts-expect-error The types above are not so loose that anything fits.
export const consumerIsNoProducer = (theirs: types.Consumer): MediasoupProducer => theirs;

/** The documented calls, with mediasoup's own objects. */
export async function documented(engine: Engine, router: types.Router, producer: types.Producer) {
  const info = { callId: "room", participantId: "anna" };
  await sourceFromProducer(router, producer);
  const participant = await attachProducer(engine, router, producer, info);
  await participant.setConsent("granted");
  attachRouter(engine, router, {
    participantOf: ({ appData }) => ({ callId: "room", participantId: String(appData.name) }),
  });
  await forwardProducer(router, producer, { host: "127.0.0.1", port: 5004 });
}
