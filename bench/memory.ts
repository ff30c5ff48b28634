/**
 * What a participant holds in memory beyond its transport: everybody hears 5 s of speech as fast as it goes, then the process
 * is measured at two loads. `npm run bench -- memory [participants]`
 */
import { fileURLToPath } from "node:url";
import { Subject } from "rxjs";
import { systemClock } from "../src/core/clock.ts";
import { OPUS, type RtpPacket } from "../src/core/rtp.ts";
import { createEngine } from "../src/engine.ts";
import { readRtpPayloads } from "../src/transport/file/ogg-opus-player.ts";

const PAYLOAD_TYPE = 111;
const HEARD_MS = 5_000;
const [more = 400] = process.argv.slice(2).map(Number);
const few = Math.ceil(more / 4);
const frames = await readRtpPayloads(fileURLToPath(new URL("../assets/demo/anna.opus", import.meta.url)));

const engine = await createEngine({
  service: { maxParticipants: more },
  overload: { control: "off" },
  model: { device: "cpu", maxDelayMs: 0 },
  // Events kept for others are the hub's.
  events: { replayMs: 0 },
});

interface Reading {
  readonly rss: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
  readonly external: number;
}

async function measure(): Promise<Reading> {
  // What is garbage is no participant's.
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage();
  return { rss, heapUsed, arrayBuffers, external };
}

async function bring(from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) {
    const packets = new Subject<RtpPacket>();
    const source = {
      kind: "memory",
      codecs: new Map([[PAYLOAD_TYPE, OPUS]]),
      packets,
      close: () => Promise.resolve(packets.complete()),
    };
    const info = {
      callId: `call-${number >> 1}`,
      participantId: String(number),
      consent: "granted",
    } as const;
    await engine.attach(source, info);
    let timestamp = 0;
    for (const [sequence, { payload, durationTicks }] of frames.entries()) {
      if (timestamp > HEARD_MS * 48) break;
      const arrivalMs = systemClock.now();
      packets.next({
        sequence,
        timestamp,
        ssrc: number,
        payloadType: PAYLOAD_TYPE,
        marker: false,
        payload,
        arrivalMs,
      });
      timestamp += durationTicks;
    }
    // Windows that wait are the batcher's, and not so many when people talk in real time.
    while (engine.batcherStats.queued + engine.batcherStats.inFlight > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

await bring(0, few);
const before = await measure();
await bring(few, more);
const after = await measure();
const each = (key: keyof Reading): string =>
  `${((after[key] - before[key]) / (more - few) / 1000).toFixed(1)} kB`;
console.log(`a participant, from ${few} to ${more}: RSS ${each("rss")}`);
console.log(`  JavaScript heap ${each("heapUsed")}`);
console.log(`  arrays and WebAssembly memory ${each("external")}, arrays ${each("arrayBuffers")}`);
await engine.close();
