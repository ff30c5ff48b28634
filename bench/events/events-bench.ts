/**
 * `npm run bench -- events`: what it costs to tell many subscribers much, over real sockets. The service's half (hub,
 * WebSocket server) runs in this process, which is measured; subscribers are readers.ts, in another.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { monotonicMs, sampleIndex, wallMs } from "../../src/core/units.ts";
import { emotionData } from "../../src/events/event-data.ts";
import {
  EventFactory,
  EventHub,
  EventSocketServer,
  HttpServer,
  SubscriberGate,
} from "../../src/events/index.ts";
import { benchArguments } from "../arguments.ts";
import { EVENTS } from "../benches.ts";
import { type ReaderOrder, type ReaderReport, stampUs } from "./readers.ts";

const LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];
const PARTICIPANTS_A_CALL = 5;
const TURN_MS = 10;

interface Load {
  readonly subscribers: number;
  readonly deaf: number;
  readonly participants: number;
  /** Events a second of each participant. */
  readonly rate: number;
  /** Calls that each subscriber's filter names. */
  readonly calls: number;
  readonly seconds: number;
}

interface Result extends ReaderReport {
  readonly events: number;
  readonly deliveriesPerS: number;
  readonly deliveriesPerCpuS: number;
  readonly cpu: number;
  readonly rssMiB: number;
  readonly dropped: number;
  readonly closedSlow: number;
}

async function measure(load: Load): Promise<Result> {
  const factory = new EventFactory();
  const hub = new EventHub({ epoch: factory.epoch });
  const http = new HttpServer();
  const gate = new SubscriberGate({ maxSubscribers: load.subscribers });
  // Readers are too simple to answer pings.
  const pingPeriodMs = 600_000;
  const sockets = new EventSocketServer(http.server, hub, { source: factory.source, gate, pingPeriodMs });
  const { port } = await http.listen("127.0.0.1", 0);
  const readers = fork(fileURLToPath(new URL("./readers.ts", import.meta.url)));
  try {
    readers.send({ port: Number(port), paths: pathsOf(load), deaf: load.deaf } satisfies ReaderOrder);
    await once(readers, "message");
    const publisher = publish(hub, factory, load);
    await pause(2000);
    const before = { published: hub.stats.published, cpu: process.cpuUsage(), at: performance.now() };
    readers.send("begin");
    await pause(load.seconds * 1000);
    const cpu = process.cpuUsage(before.cpu);
    const elapsedS = (performance.now() - before.at) / 1000;
    const report = await ask(readers);
    publisher.stop();
    const cpuS = (cpu.user + cpu.system) / 1e6;
    return {
      ...report,
      events: hub.stats.published - before.published,
      deliveriesPerS: report.frames / elapsedS,
      deliveriesPerCpuS: report.frames / cpuS,
      cpu: cpuS / elapsedS,
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      dropped: hub.stats.dropped,
      closedSlow: sockets.stats.closedSlow,
    };
  } finally {
    readers.send("end");
    await once(readers, "exit");
    await sockets.close();
    await hub.close();
    await http.close();
  }
}

async function ask(readers: ChildProcess): Promise<ReaderReport> {
  readers.send("report");
  const [report] = await once(readers, "message");
  return report as ReaderReport;
}

const callsOf = ({ participants }: Load): number => Math.ceil(participants / PARTICIPANTS_A_CALL);

/** Every subscriber asks for emotions of some calls, each for others; those that never read ask for all. */
function pathsOf(load: Load): string[] {
  const calls = callsOf(load);
  return Array.from({ length: load.subscribers }, (_, i) => {
    if (i < load.deaf) return "/v1/events?kinds=emotion";
    const names = Array.from({ length: load.calls }, (_, k) => `call-${(i + k) % calls}`);
    return `/v1/events?kinds=emotion&call=${names.join(",")}`;
  });
}

/** Participants in turns, evenly over time; what was late is made up for. */
function publish(hub: EventHub, factory: EventFactory, load: Load): { stop: () => void } {
  const startMs = performance.now();
  const scores = Float32Array.of(0.7106, 0.0391, 0.0542, 0.0311, 0.1204, 0.0187, 0.0259);
  let count = 0;
  const turn = (): void => {
    const due = ((performance.now() - startMs) / 1000) * load.participants * load.rate;
    for (; count < due; count++) {
      const participant = count % load.participants;
      const speaker = {
        callId: `call-${Math.floor(participant / PARTICIPANTS_A_CALL)}`,
        participantId: `participant-${participant}`,
        role: "customer",
      } as const;
      const data = emotionData(
        speaker,
        {
          kind: "emotion",
          index: 0,
          start: sampleIndex(0),
          end: sampleIndex(48_000),
          mediaStartMs: 0,
          mediaEndMs: 3000,
          wallStartMs: wallMs(Date.now() - 3000),
          wallEndMs: wallMs(Date.now()),
          wallSource: "arrival",
          speechShare: 0.8733,
          lossShare: 0.0133,
          arrivalMs: monotonicMs(0),
          scores,
          top: 0,
          confidence: 0.7106,
          abstained: false,
          valence: -0.4312,
          arousal: 0.6127,
          model: "tonetap-base@0.1.0",
          batchSize: 6,
          queuedMs: 4.2,
          inferenceMs: 7.9,
        },
        LABELS,
        monotonicMs(13.4),
      );
      // Ten digits, the first a 1: readers know where it ends.
      hub.publish(factory.create("emotion", { ...data, index: 1_000_000_000 + stampUs() }));
    }
  };
  const timer = setInterval(turn, TURN_MS);
  return { stop: () => clearInterval(timer) };
}

const { deaf: unread, ...load } = benchArguments(EVENTS);
console.log(
  `${load.subscribers} subscribers, ${load.participants} participants × ${load.rate} events/s, ` +
    `filters of ${load.calls} of ${callsOf({ ...load, deaf: 0 })} calls`,
);
for (const deaf of [...new Set([0, unread])]) {
  const result = await measure({ ...load, deaf });
  const row = {
    "never read": deaf,
    "events/s": Math.round(result.events / load.seconds),
    "deliveries/s": Math.round(result.deliveriesPerS),
    "deliveries/CPU s": Math.round(result.deliveriesPerCpuS),
    "p50 ms": Number(result.p50Ms.toFixed(1)),
    "p99 ms": Number(result.p99Ms.toFixed(1)),
    "CPU cores": Number(result.cpu.toFixed(2)),
    "RSS MiB": Math.round(result.rssMiB),
    dropped: result.dropped,
    "closed as slow": result.closedSlow,
  };
  console.log(JSON.stringify(row));
}
