/**
 * How many talking participants a service carries: starts it and the load generator as two processes and ramps up
 * until one core is used or the answers come late. Which load comes next is ramp.ts; printing is live-report.ts.
 */
import { sleep, systemClock } from "../../src/core/clock.ts";
import type { SubjectDescription, SubjectSample, ToGenerator, ToSubject } from "./protocol.ts";
import { Child, type FromGenerator, type FromSubject, type GeneratorReport } from "./protocol.ts";
import { type Capacity, capacityOf, nextParticipants, type RampLimits, type RampPoint } from "./ramp.ts";

/** Whose live path is measured. `naive`: the literal wiring of well-known packages. */
export type PeerName = "tonetap" | "naive";

export interface LiveBenchOptions {
  readonly limits: RampLimits;
  /** Participants of the first step. */
  readonly first: number;
  /** s of a step that are measured. */
  readonly seconds: number;
  /** Of its time a participant talks so much, 0–1. */
  readonly talkShare: number;
  readonly onStep: (step: LiveStep) => void;
}

/** One load, held for some seconds. */
export interface LiveStep {
  readonly participants: number;
  readonly subject: SubjectSample;
  readonly generator: GeneratorReport;
  /** Events that the WebSocket subscriber got. */
  readonly deliveredEvents: number;
}

export interface LiveRamp {
  readonly peer: PeerName;
  readonly description: SubjectDescription;
  readonly capacity: Capacity;
  readonly steps: readonly LiveStep[];
  /** A step at 70 % of the limit with the profiler on. */
  readonly profiled: LiveStep | undefined;
}

const SCRIPTS: Readonly<Record<PeerName, URL>> = {
  tonetap: new URL("./tonetap-subject.ts", import.meta.url),
  naive: new URL("../naive/naive-subject.ts", import.meta.url),
};
/** s at the beginning of a step that are not measured: windows are full after 3. */
const SETTLE_S = 4;
/** Share of the limit at which stages are profiled: busy, not congested. */
const PROFILED_SHARE = 0.7;
/** A packet sent this late, p99, means that the generator had no processor. */
const STARVED_MS = 10;

/** @throws TonetapError unavailable when a process fails. */
export async function runLiveRamp(peer: PeerName, options: LiveBenchOptions): Promise<LiveRamp> {
  const { limits, first, talkShare } = options;
  await using stage = new Stage(peer, { talkShare });
  const description = await stage.open();
  // The first load also compiles the code: once for nothing.
  await stage.hold(first, options.seconds, false);
  const steps: LiveStep[] = [];
  const points = (): RampPoint[] => steps.map(pointOf);
  for (
    let load = nextParticipants(points(), limits, first);
    load !== undefined;
    load = nextParticipants(points(), limits, first)
  ) {
    const step = await stage.hold(load, options.seconds, false);
    steps.push(step);
    options.onStep(step);
  }
  const capacity = capacityOf(points(), limits);
  const profiled = Math.round(PROFILED_SHARE * capacity.participants);
  return {
    peer,
    description,
    capacity,
    steps,
    profiled: profiled > 0 ? await stage.hold(profiled, options.seconds, true) : undefined,
  };
}

/** One load, measured and then profiled. @throws TonetapError unavailable when a process fails. */
export async function runLiveLoad(
  peer: PeerName,
  participants: number,
  seconds: number,
  talkShare: number,
): Promise<{ readonly step: LiveStep; readonly profiled: LiveStep }> {
  await using stage = new Stage(peer, { talkShare });
  await stage.open();
  await stage.hold(participants, seconds, false);
  const step = await stage.hold(participants, seconds, false);
  return { step, profiled: await stage.hold(participants, seconds, true) };
}

export function pointOf({ participants, subject, generator }: LiveStep): RampPoint {
  return {
    participants,
    cpuCores: subject.cpuCores,
    p99Ms: subject.fromSending.p99Ms,
    lostPackets: subject.lostPackets + Math.max(0, subject.socketDrops),
    droppedWindows: subject.droppedWindows,
    starved: generator.lateness.p99Ms > STARVED_MS,
  };
}

export interface StageOptions {
  /** For the service's process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Of its time a participant talks so much, 0–1; default 1. */
  readonly talkShare?: number;
}

/** The two processes of a ramp, and a subscriber in this one. */
export class Stage implements AsyncDisposable {
  readonly #generator = new Child<ToGenerator, FromGenerator>(
    "the load generator",
    new URL("./load-generator.ts", import.meta.url),
  );
  readonly #subject: Child<ToSubject, FromSubject>;
  #socket: WebSocket | undefined;
  #deliveredEvents = 0;
  /** Who talks. Each has a number that was never used before. */
  readonly #present: number[] = [];
  #nextParticipant = 0;
  #whip: string | undefined;

  readonly #talkShare: number;

  constructor(peer: PeerName, { env = {}, talkShare = 1 }: StageOptions = {}) {
    this.#subject = new Child<ToSubject, FromSubject>(peer, SCRIPTS[peer], ["--expose-gc"], env);
    this.#talkShare = talkShare;
  }

  async open(): Promise<SubjectDescription> {
    await this.#generator.next("ready");
    const { description } = await this.#subject.next("open");
    await this.#generator.ask({ kind: "send-to", endpoint: description.rtp }, "ready");
    this.#whip = description.whip;
    this.#socket = new WebSocket(description.events);
    this.#socket.addEventListener("message", () => this.#deliveredEvents++);
    return description;
  }

  async hold(participants: number, seconds: number, profile: boolean): Promise<LiveStep> {
    await this.#bring(participants);
    await this.#subject.ask({ kind: "collect" }, "done");
    await sleep(systemClock, SETTLE_S * 1000, undefined);
    const before = this.#deliveredEvents;
    await this.#generator.ask({ kind: "report" }, "report");
    await this.#subject.ask({ kind: "measure", profile }, "done");
    await sleep(systemClock, seconds * 1000, undefined);
    const { sample } = await this.#subject.ask({ kind: "sample" }, "sample");
    const { report } = await this.#generator.ask({ kind: "report" }, "report");
    const deliveredEvents = this.#deliveredEvents - before;
    return { participants, subject: sample, generator: report, deliveredEvents };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.close();
    await this.#generator.kill();
    await this.#subject.kill();
  }

  async #bring(participants: number): Promise<void> {
    const leaving = this.#present.splice(participants);
    if (leaving.length > 0) {
      await this.#generator.ask({ kind: "stop", participants: leaving }, "ready");
      await this.#subject.ask({ kind: "detach", participants: leaving }, "done");
    }
    const coming = Array.from({ length: participants - this.#present.length }, () => this.#nextParticipant++);
    if (coming.length === 0) return;
    this.#present.push(...coming);
    const { endpoints } = await this.#subject.ask({ kind: "attach", participants: coming }, "done");
    const talkShare = this.#talkShare;
    const whip = this.#whip;
    const order = { kind: "start", participants: coming, endpoints, whip, talkShare } as const;
    const { starts } = await this.#generator.ask(order, "started");
    await this.#subject.ask({ kind: "starts", starts }, "done");
  }
}
