/**
 * A service under test, seen from the bench: takes participants and measures what it does with them. What runs is
 * tonetap-subject.ts or naive/naive-subject.ts; both are processes of their own, started by run-live.ts.
 */
import { Session } from "node:inspector/promises";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { LatencyHistogram } from "../../src/core/histogram.ts";
import { PacketTimes } from "./packet-times.ts";
import { type CpuReading, coresBetween, readCpu, readSocketDrops } from "./process-meter.ts";
import { type CpuProfile, hotSpots, type StageRules, stageTimes } from "./profile.ts";
import type {
  FromSubject,
  Latency,
  SubjectDescription,
  SubjectSample,
  ToSubject,
  UdpEndpoint,
} from "./protocol.ts";

/** Running totals of a service; the bench takes differences. */
export interface SubjectCounts {
  readonly receivedPackets: number;
  readonly lostPackets: number;
  readonly droppedWindows: number;
  readonly batches: number;
  readonly batchedWindows: number;
}

export interface Subject {
  readonly description: SubjectDescription;
  readonly stages: StageRules;
  counts(): SubjectCounts;
  /** @returns where it is sent to, if it has a port of its own */
  attach(participant: number): Promise<UdpEndpoint | undefined>;
  detach(participant: number): Promise<void>;
  close(): Promise<void>;
}

/** What a service tells of its work. Times are of its own clock, ms. */
export interface SubjectProbe {
  packet(participant: number, timestamp: number, arrivalMs: number): void;
  /** An emotion event, and when the last packet of its window came. */
  event(participant: number, arrivalMs: number): void;
}

const HOT_SPOTS = 25;
const PROFILE_INTERVAL_MICROS = 1_000;

interface Measurement {
  readonly startedMs: number;
  readonly cpu: CpuReading;
  readonly counts: SubjectCounts;
  readonly socketDrops: number | undefined;
  readonly profiler: Session | undefined;
}

class Harness implements SubjectProbe {
  readonly #subject: Subject;
  readonly #times: Map<number, PacketTimes>;
  readonly #fromArrival = new LatencyHistogram();
  readonly #fromSending = new LatencyHistogram();
  #measurement: Measurement | undefined;

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#times = new Map();
  }

  packet(participant: number, timestamp: number, arrivalMs: number): void {
    this.#times.get(participant)?.came(timestamp, arrivalMs);
  }

  event(participant: number, arrivalMs: number): void {
    const nowMs = systemClock.now();
    this.#fromArrival.record(nowMs - arrivalMs);
    const dueMs = this.#times.get(participant)?.dueMs(arrivalMs);
    // Undefined too where packets are read in another thread.
    if (dueMs !== undefined) this.#fromSending.record(nowMs - dueMs);
  }

  async handle(message: ToSubject): Promise<FromSubject> {
    const subject = this.#subject;
    const endpoints: UdpEndpoint[] = [];
    switch (message.kind) {
      case "collect":
        // What a service that has run for long has behind it: V8 is more generous to a heap it has never looked through.
        globalThis.gc?.();
        break;
      case "attach":
        for (const participant of message.participants) {
          this.#times.set(participant, new PacketTimes());
          const endpoint = await subject.attach(participant);
          if (endpoint !== undefined) endpoints.push(endpoint);
        }
        break;
      case "detach":
        for (const participant of message.participants) {
          this.#times.delete(participant);
          await subject.detach(participant);
        }
        break;
      case "starts":
        for (const start of message.starts) this.#times.get(start.participant)?.begin(start);
        break;
      case "measure":
        this.#measurement = await this.#begin(message.profile);
        break;
      case "sample":
        return { kind: "sample", sample: await this.#end() };
      case "close":
        await subject.close();
        break;
      default:
        message satisfies never;
    }
    return { kind: "done", endpoints };
  }

  async #begin(profile: boolean): Promise<Measurement> {
    let profiler: Session | undefined;
    if (profile) {
      profiler = new Session();
      profiler.connect();
      await profiler.post("Profiler.enable");
      await profiler.post("Profiler.setSamplingInterval", { interval: PROFILE_INTERVAL_MICROS });
      await profiler.post("Profiler.start");
    }
    this.#fromArrival.reset();
    this.#fromSending.reset();
    return {
      startedMs: systemClock.now(),
      cpu: readCpu(),
      counts: this.#subject.counts(),
      socketDrops: readSocketDrops(this.#subject.description.rtp.port),
      profiler,
    };
  }

  async #end(): Promise<SubjectSample> {
    const began = this.#measurement;
    if (began === undefined) throw new TonetapError("conflict", "nothing is being measured");
    this.#measurement = undefined;
    const elapsedMs = systemClock.now() - began.startedMs;
    const cpu = coresBetween(began.cpu, readCpu(), elapsedMs);
    const counts = this.#subject.counts();
    const since = (key: keyof SubjectCounts): number => counts[key] - began.counts[key];
    const drops = readSocketDrops(this.#subject.description.rtp.port);
    const known = drops !== undefined && began.socketDrops !== undefined;
    const sample = {
      elapsedMs,
      ...cpu,
      windows: this.#fromArrival.count,
      droppedWindows: since("droppedWindows"),
      meanBatch: since("batchedWindows") / Math.max(1, since("batches")),
      fromArrival: latencyOf(this.#fromArrival),
      fromSending: latencyOf(this.#fromSending),
      receivedPackets: since("receivedPackets"),
      lostPackets: since("lostPackets"),
      socketDrops: known ? drops - began.socketDrops : -1,
      rssBytes: process.memoryUsage.rss(),
    };
    if (began.profiler === undefined) return { ...sample, stages: [], hotSpots: [] };
    const { profile } = await began.profiler.post("Profiler.stop");
    began.profiler.disconnect();
    const taken: CpuProfile = profile;
    return {
      ...sample,
      stages: stageTimes(taken, this.#subject.stages),
      hotSpots: hotSpots(taken, HOT_SPOTS),
    };
  }
}

const latencyOf = (histogram: LatencyHistogram): Latency => ({
  p50Ms: histogram.quantile(0.5),
  p99Ms: histogram.quantile(0.99),
  maxMs: histogram.quantile(1),
});

/** Opens the service and serves the bench until it closes the channel. Never rejects: the bench is told. */
export async function serveSubject(open: (probe: SubjectProbe) => Promise<Subject>): Promise<void> {
  const reply = (message: FromSubject): void => void process.send?.(message);
  const fail = (error: unknown): void =>
    reply({ kind: "failed", message: String(error instanceof Error ? error.stack : error) });
  try {
    let harness: Harness | undefined;
    const subject = await open({
      packet: (participant, timestamp, arrivalMs) => harness?.packet(participant, timestamp, arrivalMs),
      event: (participant, arrivalMs) => harness?.event(participant, arrivalMs),
    });
    const opened = new Harness(subject);
    harness = opened;
    // One after the other, in the order of their coming.
    let turn: Promise<void> = Promise.resolve();
    process.on("message", (message: ToSubject) => {
      turn = turn.then(() => opened.handle(message)).then(reply, fail);
    });
    process.on("disconnect", () => process.exit());
    reply({ kind: "open", description: subject.description });
  } catch (error) {
    fail(error);
  }
}
