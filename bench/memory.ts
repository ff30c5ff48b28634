/**
 * What a participant holds in memory: everybody hears 8 s of speech as fast as it goes, and the process is measured at
 * nine loads from a quarter to all of it. The jitter buffer, which is the transport's, is measured alone. It is started with
 * a young generation of fixed size, which is not a participant's: `npm run bench -- memory --participants 1500`
 */
import { fileURLToPath } from "node:url";
import { Subject, type Subscription } from "rxjs";
import { systemClock } from "../src/core/clock.ts";
import { OPUS, type RtpPacket } from "../src/core/rtp.ts";
import { createEngine } from "../src/engine.ts";
import { slotBytes, streamShape } from "../src/inference/stream-memory.ts";
import { readRtpPayloads } from "../src/transport/file/ogg-opus-player.ts";
import { jitterBuffer } from "../src/transport/index.ts";
import { benchArguments } from "./arguments.ts";
import { MEMORY } from "./benches.ts";
import { slope } from "./live/statistics.ts";

const PAYLOAD_TYPE = 111;
const CODECS = new Map([[PAYLOAD_TYPE, OPUS]]);
const HEARD_MS = 8_000;
const { participants: more } = benchArguments(MEMORY);
const STEPS = 8;
const few = Math.ceil(more / 4);
const frames = await readRtpPayloads(fileURLToPath(new URL("../assets/demo/anna.opus", import.meta.url)));

const engine = await createEngine({
  service: { maxParticipants: more },
  overload: { control: "off" },
  model: { device: "cpu", maxDelayMs: 0 },
  // Events kept for others are the hub's.
  events: { replayMs: 0 },
});

const stream = streamShape(engine.manifest);
const carried = stream === undefined ? 0 : slotBytes(stream);

interface Reading {
  readonly participants: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
  readonly external: number;
}

async function measure(participants: number): Promise<Reading> {
  // What is garbage is no participant's.
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage();
  return { participants, rss, heapUsed, arrayBuffers, external };
}

/** The demo recording's packets, as one participant's. */
function* speech(ssrc: number): Generator<RtpPacket> {
  let timestamp = 0;
  for (const [sequence, { payload, durationTicks }] of frames.entries()) {
    if (timestamp > HEARD_MS * 48) return;
    const arrivalMs = systemClock.now();
    yield { sequence, timestamp, ssrc, payloadType: PAYLOAD_TYPE, marker: false, payload, arrivalMs };
    timestamp += durationTicks;
  }
}

async function bring(from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) {
    const packets = new Subject<RtpPacket>();
    const source = { kind: "memory", codecs: CODECS, packets, close: async () => packets.complete() };
    const info = {
      callId: `call-${number >> 1}`,
      participantId: String(number),
      consent: "granted",
    } as const;
    await engine.attach(source, info);
    for (const packet of speech(number)) packets.next(packet);
    // Windows that wait are the batcher's, and not so many when people talk in real time.
    while (engine.batcherStats.queued + engine.batcherStats.inFlight > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Bytes of heap and arrays that one jitter buffer keeps. */
async function jitterBufferBytes(): Promise<number> {
  const heard: Subscription[] = [];
  const before = await measure(0);
  for (let number = 0; number < 200; number++) {
    const packets = new Subject<RtpPacket>();
    heard.push(packets.pipe(jitterBuffer({ clock: systemClock, codecs: CODECS })).subscribe());
    for (const packet of speech(number)) packets.next(packet);
  }
  const after = await measure(0);
  for (const subscription of heard) subscription.unsubscribe();
  return (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / heard.length;
}

await bring(0, few);
const transport = await jitterBufferBytes();
const readings: Reading[] = [];
for (let step = 0; step <= STEPS; step++) {
  const to = few + Math.round((step / STEPS) * (more - few));
  await bring(readings.at(-1)?.participants ?? few, to);
  readings.push(await measure(to));
}
/** What each participant adds, by a straight line through the readings: single ones jump by some MB. */
const each = (key: keyof Reading): number =>
  slope(readings.map((reading) => [reading.participants, reading[key]])) ?? 0;
const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
console.log(
  `a participant, from ${few} to ${more}: RSS ${kB(each("rss"))}, beyond its transport ${kB(each("rss") - transport)}`,
);
console.log(
  `  JavaScript heap ${kB(each("heapUsed"))}, arrays ${kB(each("arrayBuffers"))}; of both, the jitter buffer ${kB(transport)}`,
);
console.log(`  WebAssembly memory, growing in steps ${kB(each("external") - each("arrayBuffers"))}`);
console.log(`  what the model carries of a stream ${kB(carried)}`);
await engine.close();
