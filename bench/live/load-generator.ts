/**
 * The load, a process of its own: participants who all talk, each 50 Opus packets a second over UDP, on a schedule that
 * does not move. It measures how late it is itself, so that a starved generator is not taken for a slow service.
 * Run by run-live.ts, which it talks to over IPC.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { systemClock } from "../../src/core/clock.ts";
import { LatencyHistogram } from "../../src/core/histogram.ts";
import { writeU16, writeU32 } from "../../src/transport/bytes.ts";
import {
  type FromGenerator,
  HOP_MS,
  OPUS_PAYLOAD_TYPE,
  PACKET_MS,
  SSRC_BASE,
  type Start,
  sharedNow,
  type ToGenerator,
} from "./protocol.ts";
import { readSpeechLoops } from "./speech-loop.ts";

/** Longest sleep between looks at the schedule. */
const TICK_MS = 1;
const TICKS_PER_PACKET = 48 * PACKET_MS;
/** Fractions of its multiples spread any number of participants evenly. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

interface Stream {
  readonly participant: number;
  readonly loop: readonly Uint8Array[];
  /** Fixed RTP header (RFC 3550 §5.1), patched in place for every packet. */
  readonly header: Uint8Array;
  sequence: number;
  timestamp: number;
  position: number;
  dueMs: number;
}

const loops = await readSpeechLoops();
const socket = createSocket({ type: "udp4", sendBufferSize: 1 << 20 });
const streams = new Map<number, Stream>();
const lateness = new LatencyHistogram();
const epochMs = sharedNow();
let sentPackets = 0;
let reportedMs = epochMs;
let cpu = process.cpuUsage();
let stopped = false;

const reply = (message: FromGenerator): void => void process.send?.(message);

function start(participant: number): Start {
  const loop = loops[participant % loops.length] ?? [];
  // Ticks of the window grid are spread over the hop, packets over 20 ms, places in the recording over all of it.
  const phaseMs = HOP_MS * ((participant * GOLDEN) % 1);
  const hops = Math.ceil((sharedNow() + PACKET_MS - epochMs - phaseMs) / HOP_MS);
  const stream: Stream = {
    participant,
    loop,
    header: new Uint8Array(12),
    sequence: (participant * 257) % 0x8000,
    timestamp: participant * 48_271,
    position: Math.floor(((participant * GOLDEN * 7) % 1) * loop.length),
    dueMs: epochMs + hops * HOP_MS + phaseMs,
  };
  stream.header[0] = 2 << 6;
  stream.header[1] = 0x80 | OPUS_PAYLOAD_TYPE;
  writeU32(stream.header, 8, SSRC_BASE + participant);
  streams.set(participant, stream);
  return { participant, sequence: stream.sequence, dueMs: stream.dueMs };
}

function sendDue(): void {
  let nowMs = sharedNow();
  for (const stream of streams.values()) {
    for (; stream.dueMs <= nowMs; stream.dueMs += PACKET_MS) {
      send(stream);
      nowMs = sharedNow();
      lateness.record(nowMs - stream.dueMs);
    }
  }
}

function send(stream: Stream): void {
  const { header, loop } = stream;
  writeU16(header, 2, stream.sequence);
  writeU32(header, 4, stream.timestamp);
  // Connected and unfull, the socket copies the bytes before this returns: the header may be patched again.
  socket.send([header, loop[stream.position] ?? header]);
  header[1] = OPUS_PAYLOAD_TYPE;
  stream.sequence = (stream.sequence + 1) & 0xffff;
  stream.timestamp += TICKS_PER_PACKET;
  stream.position = (stream.position + 1) % loop.length;
  sentPackets++;
}

function tick(): void {
  sendDue();
  if (!stopped) systemClock.schedule(TICK_MS, tick);
}

function report(): void {
  const nowMs = sharedNow();
  const elapsedMs = nowMs - reportedMs;
  const { user, system } = process.cpuUsage(cpu);
  reply({
    kind: "report",
    report: {
      sentPackets,
      elapsedMs,
      cpuCores: (user + system) / 1000 / elapsedMs,
      lateness: {
        p50Ms: lateness.quantile(0.5),
        p99Ms: lateness.quantile(0.99),
        maxMs: lateness.quantile(1),
      },
    },
  });
  lateness.reset();
  sentPackets = 0;
  reportedMs = nowMs;
  cpu = process.cpuUsage();
}

process.on("message", (message: ToGenerator) => {
  switch (message.kind) {
    case "send-to":
      socket.connect(message.endpoint.port, message.endpoint.host, () => {
        reply({ kind: "ready" });
        tick();
      });
      return;
    case "start":
      reply({ kind: "started", starts: message.participants.map(start) });
      return;
    case "stop":
      for (const participant of message.participants) streams.delete(participant);
      reply({ kind: "ready" });
      return;
    case "report":
      report();
      return;
    default:
      message satisfies never;
  }
});
// The service may be gone before this process: that shows in its own figures.
socket.on("error", () => streams.clear());
process.on("disconnect", () => {
  stopped = true;
  socket.close();
});
socket.bind(0, "127.0.0.1");
await once(socket, "listening");
reply({ kind: "ready" });
