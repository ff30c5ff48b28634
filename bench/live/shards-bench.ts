/**
 * What a participant costs with audio on the main thread and on shards, in turns, at the same loads: each has a UDP port of
 * its own, as in `POST /v1/rtp` or as a SIP call has it, or publishes over WHIP. Called by live-command.ts.
 *
 * The load generator needs a core of its own, so two cores cannot be filled on a machine of two. What is measured is CPU time
 * a participant, all threads; so many fit into n cores as n cores of CPU time hold, unless the main thread is full before.
 */
import { writeFile } from "node:fs/promises";
import { type LiveStep, Stage } from "./live-bench.ts";
import { textTable } from "./live-report.ts";
import { describeMachine } from "./machine.ts";
import { OWN_DOOR, type OwnDoor } from "./protocol.ts";
import { median } from "./statistics.ts";

export interface ShardsBenchOptions {
  /** Threads that work on audio, each a variant: 0 is the main thread. */
  readonly shards: readonly number[];
  /** Loads, each held by each variant. */
  readonly participants: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly talkShare: number;
  /** By which participants come. */
  readonly door: OwnDoor;
  readonly json: string | undefined;
}

interface Held {
  readonly shards: number;
  readonly step: LiveStep;
}

const COLUMNS = [
  "shards",
  "participants",
  "µs CPU a participant·s",
  "CPU, cores",
  "main",
  "shards' threads",
  "inference",
  "p50 ms",
  "p99 ms",
  "windows/s",
  "lost",
  "RSS MB",
  "sender late, p99 ms",
];

/** @throws TonetapError unavailable when a process fails */
export async function runShardsBench(options: ShardsBenchOptions): Promise<void> {
  const { shards, participants, rounds, seconds, talkShare, door, json } = options;
  const held: Held[] = [];
  console.log(`\n${COLUMNS.join(" | ")}`);
  for (let round = 0; round < rounds; round++) {
    for (const count of shards) {
      const env = {
        TONETAP_SHARDS_COUNT: String(count),
        TONETAP_OVERLOAD_CONTROL: "off",
        TONETAP_SERVICE_MAX_PARTICIPANTS: "4000",
        TONETAP_WHIP_MAX_SESSIONS: "4000",
        [OWN_DOOR]: door,
      };
      await using stage = new Stage("tonetap", { env, talkShare });
      await stage.open();
      // The first load also compiles the code: once for nothing.
      await stage.hold(participants[0] ?? 1, seconds, false);
      for (const load of participants) {
        const step = await stage.hold(load, seconds, false);
        held.push({ shards: count, step });
        console.log(row({ shards: count, step }).join(" | "));
      }
    }
  }
  console.log(`\n${summary(held, options)}`);
  if (json === undefined) return;
  await writeFile(
    json,
    `${JSON.stringify({ bench: "shards", machine: describeMachine(), options, held }, null, 1)}\n`,
  );
  console.log(`Written: ${json}`);
}

/** µs of CPU a participant and second, all threads. */
const cost = ({ participants, subject }: LiveStep): number => (1e6 * subject.cpuCores) / participants;

function row({ shards, step }: Held): string[] {
  const { subject, generator, participants } = step;
  const { threadCores, fromArrival, elapsedMs } = subject;
  return [
    String(shards),
    String(participants),
    cost(step).toFixed(0),
    subject.cpuCores.toFixed(3),
    ...["MainThread", "tonetap-shard", "tonetap-inferen"].map((name) => (threadCores[name] ?? 0).toFixed(3)),
    fromArrival.p50Ms.toFixed(1),
    fromArrival.p99Ms.toFixed(1),
    ((1000 * subject.windows) / elapsedMs).toFixed(0),
    String(subject.lostPackets),
    (subject.rssBytes / 1e6).toFixed(0),
    generator.lateness.p99Ms.toFixed(1),
  ];
}

/** The most that a load's participant costs of what one costs at any load before it: falling is no growth. */
export const growth = (costs: readonly number[]): number =>
  costs.reduce((most, cost, i) => Math.max(most, ...costs.slice(0, i + 1).map((before) => cost / before)), 1);

function summary(held: readonly Held[], { shards, participants }: ShardsBenchOptions): string {
  const rows = [["medians", ...participants.map((load) => `${load}`), "of one core", "of two", "growth"]];
  for (const count of shards) {
    const costs = participants.map((load) =>
      median(
        held
          .filter((one) => one.shards === count && one.step.participants === load)
          .map(({ step }) => cost(step)),
      ),
    );
    const last = costs.at(-1) ?? Number.NaN;
    const main = median(
      held
        .filter((one) => one.shards === count && one.step.participants === participants.at(-1))
        .map(({ step }) => (step.subject.threadCores.MainThread ?? 0) / step.participants),
    );
    const two = Math.min(2e6 / last, 1 / main);
    rows.push([
      `${count} shards, µs CPU a participant·s`,
      ...costs.map((value) => value.toFixed(0)),
      (1e6 / last).toFixed(0),
      two.toFixed(0),
      `${growth(costs).toFixed(2)} ×`,
    ]);
  }
  return textTable(rows);
}
