/** `npm run bench -- live`: arguments, ramps in turns, files. Measuring is live-bench.ts, wording live-report.ts. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../../src/core/errors.ts";
import { benchArguments } from "../arguments.ts";
import { LIVE } from "../benches.ts";
import { installNaivePeer } from "../naive/install.ts";
import { type LiveRamp, type PeerName, runLiveLoad, runLiveRamp } from "./live-bench.ts";
import {
  type LiveReport,
  profileText,
  rampText,
  ratioText,
  replaceBetween,
  reportMarkdown,
  STEP_COLUMNS,
  stepRow,
  textTable,
} from "./live-report.ts";
import { describeMachine } from "./machine.ts";
import type { RampLimits } from "./ramp.ts";
import { runShardsBench } from "./shards-bench.ts";

/** What docs/performance.md shows; a trial goes beside it and is not committed. */
const PUBLISHED_JSON_FILE = fileURLToPath(new URL("../results/live.json", import.meta.url));
const JSON_FILE = fileURLToPath(new URL("../results/live.local.json", import.meta.url));
const PAGE = fileURLToPath(new URL("../../docs/performance.md", import.meta.url));
const BEGIN = "<!-- bench live: begin -->";
const END = "<!-- bench live: end -->";

const LIMITS: RampLimits = { cpuCores: 1, p99Ms: 150, resolution: 0.03, maxParticipants: 1_500 };
/** Participants of a peer's very first step. */
const FIRST: Readonly<Record<PeerName, number>> = { tonetap: 100, naive: 12 };
/** Later ramps begin this much below what the one before found. */
const RESTART_SHARE = 0.9;

/** @throws TonetapError invalid-argument, unavailable */
export async function runLive(args: readonly string[]): Promise<void> {
  const values = benchArguments(LIVE, args);
  const { rounds, seconds, talk: talkShare, participants } = values;
  if (values.write && talkShare < 1) {
    throw new TonetapError(
      "invalid-argument",
      `--write is for who talks all the time, got --talk ${talkShare}`,
    );
  }
  const json = values.json ?? (values.write ? PUBLISHED_JSON_FILE : JSON_FILE);
  const peers: PeerName[] = values.peer === undefined ? ["tonetap"] : ["tonetap", "naive"];
  if (peers.includes("naive")) installNaivePeer();

  if (values.shards !== undefined) {
    await runShardsBench({
      shards: values.shards,
      participants: participants ?? [200],
      rounds,
      seconds,
      talkShare,
      door: values.door,
      json: values.json,
    });
    return;
  }
  if (participants !== undefined) {
    for (const load of participants) {
      for (const peer of peers) await holdOnce(peer, load, seconds, talkShare);
    }
    return;
  }
  const ramps: LiveRamp[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) {
      const before = ramps.findLast((ramp) => ramp.peer === peer)?.capacity.participants;
      const first =
        before === undefined
          ? Math.round(FIRST[peer] / talkShare)
          : Math.max(1, Math.round(RESTART_SHARE * before));
      console.log(`\n${peer}, ramp ${round + 1} of ${rounds}\n${STEP_COLUMNS.join(" | ")}`);
      const ramp = await runLiveRamp(peer, {
        limits: LIMITS,
        first,
        seconds,
        talkShare,
        onStep: (step) => console.log(stepRow(step).join(" | ")),
      });
      console.log(rampText(ramp));
      ramps.push(ramp);
    }
  }
  const report: LiveReport = {
    bench: "live",
    machine: describeMachine(),
    limits: { cpuCores: LIMITS.cpuCores, p99Ms: LIMITS.p99Ms },
    secondsPerStep: seconds,
    talkShare,
    ramps,
  };
  console.log(`\n${ratioText(ramps) ?? ""}`);
  await mkdir(dirname(json), { recursive: true });
  await writeFile(json, `${JSON.stringify(report, null, 1)}\n`);
  console.log(`Written: ${json}`);
  if (values.write) await writePage(report);
}

async function holdOnce(
  peer: PeerName,
  participants: number,
  seconds: number,
  talkShare: number,
): Promise<void> {
  const { step, profiled } = await runLiveLoad(peer, participants, seconds, talkShare);
  console.log(`\n${peer}\n${textTable([[...STEP_COLUMNS], stepRow(step)])}\n${profileText(profiled)}`);
}

async function writePage(report: LiveReport): Promise<void> {
  const page = replaceBetween(await readFile(PAGE, "utf8"), BEGIN, END, reportMarkdown(report));
  if (page === undefined) throw new TonetapError("not-found", `${PAGE} has no ${BEGIN} … ${END}`);
  await writeFile(PAGE, page);
  console.log(`Written: ${PAGE}`);
}
