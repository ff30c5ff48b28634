/**
 * The load, a process of its own: participants who talk, each 50 Opus packets a second over UDP or WebRTC, on a schedule that
 * does not move. It measures how late it is itself, so that a starved generator is not taken for a slow service.
 * Run by run-live.ts, which it talks to over IPC.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { LatencyHistogram } from "../../src/core/histogram.ts";
import { writeU16, writeU32 } from "../../src/transport/bytes.ts";
import { webrtcSender } from "../webrtc-sender.ts";
import {
  type FromGenerator,
  HOP_MS,
  OPUS_PAYLOAD_TYPE,
  PACKET_MS,
  SSRC_BASE,
  type Start,
  sharedNow,
  TICKS_PER_PACKET,
  type ToGenerator,
  type UdpEndpoint,
} from "./protocol.ts";
import { readSpeechLoops } from "./speech-loop.ts";

/** Longest sleep between looks at the schedule. */
const TICK_MS = 1;
/** Fractions of its multiples spread any number of participants evenly. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

interface Stream {
  readonly participant: number;
  readonly loop: readonly Uint8Array[];
  /** Fixed RTP header (RFC 3550 §5.1), patched in place for every packet. */
  readonly header: Uint8Array;
  readonly line: Line;
  /** Packets of 20 ms in a turn of talk and pause, and how many of them it talks. */
  readonly turn: number;
  readonly talk: number;
  inTurn: number;
  sequence: number;
  timestamp: number;
  position: number;
  dueMs: number;
}

/** What a participant's packets go out by. */
interface Line {
  send(header: Uint8Array, payload: Uint8Array): void;
  close(): void;
}

const loops = await readSpeechLoops();
const socket = createSocket({ type: "udp4", sendBufferSize: 1 << 20 });
/** All that have no line of their own; it stays when they go. */
const common: Line = { ...udpLine(socket), close: () => undefined };
const streams = new Map<number, Stream>();
const lateness = new LatencyHistogram();
const epochMs = sharedNow();
let sentPackets = 0;
let reportedMs = epochMs;
let cpu = process.cpuUsage();
let stopped = false;

const reply = (message: FromGenerator): void => void process.send?.(message);

/** Comfort noise for a pause: a frame of no data, every 400 ms. RFC 7587 §3.1.3. */
const DTX_PACKET = Uint8Array.of(0x48);
const DTX_PERIOD_PACKETS = 20;
/** A turn of talk and pause, in packets: 6 s. */
const TURN_PACKETS = 300;

function start(participant: number, line: Line, talkShare: number): Start {
  const loop = loops[participant % loops.length] ?? [];
  // Ticks of the window grid are spread over the hop, packets over 20 ms, places in the recording over all of it.
  const phaseMs = HOP_MS * ((participant * GOLDEN) % 1);
  const hops = Math.ceil((sharedNow() + PACKET_MS - epochMs - phaseMs) / HOP_MS);
  const stream: Stream = {
    participant,
    loop,
    header: new Uint8Array(12),
    line,
    turn: TURN_PACKETS,
    talk: Math.round(TURN_PACKETS * talkShare),
    inTurn: Math.floor(((participant * GOLDEN * 3) % 1) * TURN_PACKETS),
    sequence: (participant * 257) % 0x8000,
    timestamp: participant * 48_271,
    position: Math.floor(((participant * GOLDEN * 7) % 1) * loop.length),
    dueMs: epochMs + hops * HOP_MS + phaseMs,
  };
  stream.header[0] = 2 << 6;
  stream.header[1] = 0x80 | OPUS_PAYLOAD_TYPE;
  writeU32(stream.header, 8, SSRC_BASE + participant);
  streams.set(participant, stream);
  return { participant, timestamp: stream.timestamp, dueMs: stream.dueMs };
}

async function startAll({
  participants,
  endpoints,
  whip,
  talkShare,
}: Extract<ToGenerator, { kind: "start" }>): Promise<void> {
  const starts: Start[] = [];
  for (const [i, participant] of participants.entries()) {
    const endpoint = endpoints[i];
    const line =
      whip !== undefined
        ? await publish(whip, participant)
        : endpoint === undefined
          ? common
          : udpLine(await connect(endpoint));
    starts.push(start(participant, line, talkShare));
  }
  reply({ kind: "started", starts });
}

async function connect({ host, port }: UdpEndpoint): Promise<Socket> {
  const own = createSocket("udp4");
  own.on("error", () => undefined);
  own.connect(port, host);
  await once(own, "connect");
  return own;
}

function udpLine(own: Socket): Line {
  return {
    // Connected and unfull, the socket copies the bytes before this returns: the header may be patched again.
    send: (header, payload) => own.send([header, payload]),
    close: () => void own.close(),
  };
}

/** As a browser does it. Two to a call, as most are. */
async function publish(url: string, participant: number): Promise<Line> {
  const endpoint = new URL(url);
  endpoint.search = `call=call-${participant >> 1}&participant=${participant}&role=guest&consent=granted`;
  const sender = await webrtcSender(async (body) => {
    const headers = { "content-type": "application/sdp" };
    const response = await fetch(endpoint, { method: "POST", headers, body });
    const answer = await response.text();
    if (response.status !== 201)
      throw new TonetapError("unavailable", `the service said ${response.status}: ${answer}`);
    return answer;
  });
  return {
    send: (header, payload) => sender.send(Buffer.concat([header, payload])),
    close: () => void sender.close(),
  };
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
  const { header, loop, turn, talk } = stream;
  const talks = stream.inTurn < talk;
  const pause = stream.inTurn - talk;
  stream.inTurn = (stream.inTurn + 1) % turn;
  if (!talks && pause % DTX_PERIOD_PACKETS !== 0) {
    stream.timestamp += TICKS_PER_PACKET;
    return;
  }
  writeU16(header, 2, stream.sequence);
  writeU32(header, 4, stream.timestamp);
  stream.line.send(header, talks ? (loop[stream.position] ?? header) : DTX_PACKET);
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
      void startAll(message);
      return;
    case "stop":
      for (const participant of message.participants) {
        streams.get(participant)?.line.close();
        streams.delete(participant);
      }
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
  process.exit();
});
socket.bind(0, "127.0.0.1");
await once(socket, "listening");
reply({ kind: "ready" });
