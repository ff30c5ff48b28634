/**
 * A shard: a thread with the transports, decoders and feature kernels of its participants. It makes windows; whether it may,
 * and what becomes of them, is said on the main thread. Its main side is shard-link.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { AudioSource } from "../core/audio-source.ts";
import { clockOfThread } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { Departures } from "./departures.ts";
import { ForwardedSource } from "./forwarded-source.ts";
import { beat } from "./heartbeat.ts";
import { HostedMedia } from "./hosted-media.ts";
import { type HostedSource, openSource } from "./hosted-source.ts";
import { Outbox } from "./outbox.ts";
import { Pacer } from "./pacer.ts";
import { PacketRingReader } from "./packet-ring.ts";
import type {
  MediaOrigin,
  ShardAnswer,
  ShardAsk,
  ShardOrder,
  ShardSetup,
  SourceOpening,
  ToShard,
} from "./shard-protocol.ts";
import { told, untold } from "./told-error.ts";
import { WindowMailbox } from "./window-mailbox.ts";

/** Packets read before anything else may have its turn: consent that is withdrawn does not wait for a backlog. */
const PACKETS_A_TURN = 256;
/** ms between two writings of everyone's counters, and signs of life. */
const COUNTERS_MS = 500;
/** ms between two looks at what sources have refused. */
const REFUSED_MS = 2_000;

if (parentPort === null) throw new TonetapError("internal", "this script runs as a worker thread only");
const port = parentPort;
const setup: ShardSetup = workerData;
const { clockOffsetMs, config, features, window, ring, heartbeat } = setup;
const clock = clockOfThread(clockOffsetMs);
const mailbox = new WindowMailbox(setup.mailbox);
const reader = new PacketRingReader(ring);
const departures = new Departures(setup.departures, clock);
const outbox = new Outbox({
  clock,
  mailbox,
  departures,
  batch: setup.batch,
  send: (news) => port.postMessage(news),
});
const bed = new Int32Array(new SharedArrayBuffer(4));
const pacer = new Pacer({
  clock,
  delayMs: () => departures.delayMs,
  rested: setup.rested,
  rest: (ms) => Atomics.wait(bed, 0, 0, ms),
  speak: outbox.speak,
});
const hosted = new Map<number, HostedMedia>();
/** Sources whose sockets are here, until their media are over. */
const sources = new Map<number, HostedSource>();
let reading = false;

async function open(source: number, opening: SourceOpening): Promise<ShardAnswer> {
  let over = false;
  const own = await openSource(opening, {
    clock,
    find: (other) => sources.get(other)?.source,
    onEnd: (error, timedOut) => {
      over = true;
      sources.delete(source);
      const why = error === undefined ? undefined : told(error);
      outbox.put({ kind: "source-over", source, error: why, timedOut });
    },
  });
  if (!over) sources.set(source, own);
  return own.opened;
}

function adopt({
  media,
  origin,
  sourceKind,
  normalisation,
  firstArrivalMs,
  counters,
}: Extract<ShardAsk, { kind: "adopt" }>) {
  const source = originOf(media, origin, sourceKind);
  const parts = { clock, config, manifest: { features, window, normalisation } };
  const tell = outbox.put;
  const forwarded = source instanceof ForwardedSource ? source : undefined;
  const onOver = (): void => {
    hosted.delete(media);
    if (origin.kind === "own" && !adopted.abandoned) sources.delete(origin.source);
  };
  const options = {
    media,
    source,
    parts,
    firstArrivalMs,
    counters,
    mailbox,
    tell,
    onPacket: pacer.note,
    onOver,
  };
  const adopted: HostedMedia = new HostedMedia(options, forwarded);
  hosted.set(media, adopted);
}

function originOf(media: number, origin: MediaOrigin, kind: string): AudioSource {
  if (origin.kind === "own") {
    const own = sources.get(origin.source);
    if (own === undefined) throw new TonetapError("closed", "the source has ended");
    return own.source;
  }
  const nack = (sequences: readonly number[]): void => outbox.put({ kind: "nack", media, sequences });
  const requestRetransmission = origin.canRetransmit ? nack : undefined;
  return new ForwardedSource({ kind, codecs: origin.codecs, requestRetransmission });
}

function mediaOf(media: number): HostedMedia {
  const found = hosted.get(media);
  if (found === undefined) throw new TonetapError("closed", "its audio is over");
  return found;
}

async function answer(ask: ShardAsk): Promise<ShardAnswer> {
  switch (ask.kind) {
    case "open-source":
      return open(ask.source, ask.opening);
    case "ask-source": {
      const own = sources.get(ask.source);
      if (own === undefined) throw new TonetapError("closed", "the source has ended");
      return own.ask?.(ask.question);
    }
    case "close-source":
      await sources.get(ask.source)?.source.close();
      sources.delete(ask.source);
      return undefined;
    case "adopt":
      adopt(ask);
      return undefined;
    case "prepare":
      await mediaOf(ask.media).prepare(ask.run);
      return undefined;
    default:
      return ask satisfies never;
  }
}

function obey(order: ShardOrder): void {
  if (order.kind === "packets") {
    readPackets();
    return;
  }
  const media = hosted.get(order.media);
  switch (order.kind) {
    case "begin":
      if (media === undefined)
        outbox.put({ kind: "run-over", media: order.media, run: order.run, error: undefined });
      media?.begin(order.run, order.start);
      return;
    case "stop":
      media?.stop(order.run);
      outbox.forget(order.media, order.run);
      return;
    case "listen":
      media?.listen(order.events);
      return;
    case "abandon":
      media?.abandon();
      return;
    case "whole":
      if (media === undefined)
        outbox.put({ kind: "whole", media: order.media, run: order.run, row: undefined });
      media?.tellWhole(order.run, order.index);
      return;
    case "terms":
      if (media !== undefined) media.terms = order.terms;
      return;
    case "codecs":
      media?.forwarded?.learn(order.codecs);
      return;
    case "report":
      media?.forwarded?.senderReports.next(order.report);
      return;
    case "source-ended":
      // What it gave before is in the ring.
      while (reader.read(PACKETS_A_TURN, take));
      media?.forwarded?.end(order.error === undefined ? undefined : untold(order.error));
      return;
    default:
      order satisfies never;
  }
}

const take = (channel: number, packet: Parameters<ForwardedSource["packets"]["next"]>[0]): void =>
  hosted.get(channel)?.forwarded?.packets.next(packet);

function readPackets(): void {
  if (reading) return;
  if (reader.read(PACKETS_A_TURN, take) || !reader.sleep()) {
    reading = true;
    setImmediate(() => {
      reading = false;
      readPackets();
    });
  }
}

port.on("message", (message: ToShard) => {
  if (!("request" in message)) {
    obey(message);
    return;
  }
  const { request } = message;
  answer(message).then(
    (value) => outbox.put({ kind: "answer", request, value }),
    (error: unknown) => outbox.put({ kind: "refusal", request, error: told(error) }),
  );
});
clock.repeat(COUNTERS_MS, () => {
  beat(heartbeat);
  for (const media of hosted.values()) media.count();
});
clock.repeat(REFUSED_MS, () => {
  for (const media of hosted.values()) media.tellRefused();
});
readPackets();
port.postMessage([]);
