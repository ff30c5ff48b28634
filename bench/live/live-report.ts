/** What the live bench prints, writes as JSON and puts into docs/performance.md. Measuring is live-bench.ts. */
import type { LiveRamp, LiveStep, PeerName } from "./live-bench.ts";
import { NATIVE, type StageTime } from "./profile.ts";
import { PACKET_MS } from "./protocol.ts";
import { median } from "./statistics.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** YYYY-MM-DD */
  readonly date: string;
  /** Commit measured; `+` behind it when files were changed. */
  readonly commit: string;
}

export interface LiveReport {
  readonly bench: "live";
  readonly machine: Machine;
  readonly limits: { readonly cpuCores: number; readonly p99Ms: number };
  readonly secondsPerStep: number;
  /** Of its time a participant talks so much, 0–1. */
  readonly talkShare: number;
  /** In the order in which they ran: peers in turns. */
  readonly ramps: readonly LiveRamp[];
}

/** Threads that the profiler starts: not part of the service. */
const PROFILER_THREAD = "v8:ProfEvntProc";
const MAIN_THREAD = "MainThread";
const INFERENCE_THREAD = "tonetap-inferen";

const MEANING: Readonly<Record<PeerName, string>> = {
  tonetap: "Tonetap",
  naive: "literal wiring (werift jitter buffer, opus-decoder, meyda, tfjs)",
};

/** Rows of text in columns; the first column to the left, the others to the right. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function markdownTable(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...body.map(line)].join("\n");
}

export const STEP_COLUMNS = [
  "participants",
  "CPU, cores",
  "main thread",
  "inference thread",
  "p50 ms",
  "p99 ms",
  "p99 ms from sending",
  "windows/s",
  "mean batch",
  "lost packets",
  "RSS MB",
  "sender late, p99 ms",
] as const;

export function stepRow({ participants, subject, generator }: LiveStep): string[] {
  const { cpuCores, threadCores, fromArrival, fromSending, elapsedMs } = subject;
  return [
    String(participants),
    cpuCores.toFixed(2),
    cores(threadCores[MAIN_THREAD]),
    cores(threadCores[INFERENCE_THREAD]),
    fromArrival.p50Ms.toFixed(1),
    fromArrival.p99Ms.toFixed(1),
    fromSending.p99Ms.toFixed(1),
    ((1000 * subject.windows) / elapsedMs).toFixed(0),
    subject.meanBatch.toFixed(1),
    lostText(subject.lostPackets, subject.socketDrops),
    (subject.rssBytes / 1e6).toFixed(0),
    generator.lateness.p99Ms.toFixed(1),
  ];
}

const cores = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));

/** Lost as the jitter buffer sees it, and of these those that found the socket's buffer full. */
const lostText = (lost: number, socketDrops: number): string =>
  socketDrops > 0 ? `${lost} (${socketDrops} in the socket)` : String(lost);

export interface StageRow {
  readonly stage: string;
  /** Of all CPU time of the process, 0–1. */
  readonly share: number;
  /** µs of CPU for 20 ms of one participant. */
  readonly microsPerPacket: number;
}

/** CPU by stage: the main thread by its profile, the others as the system counts them. */
export function stageRows({ participants, subject }: LiveStep): StageRow[] {
  const { threadCores, cpuCores, elapsedMs } = subject;
  const mainMs = elapsedMs * (threadCores[MAIN_THREAD] ?? cpuCores);
  const inferenceMs = elapsedMs * (threadCores[INFERENCE_THREAD] ?? 0);
  const othersMs = Object.entries(threadCores)
    .filter(([name]) => name !== MAIN_THREAD && name !== INFERENCE_THREAD && name !== PROFILER_THREAD)
    .reduce((sum, [, value]) => sum + elapsedMs * value, 0);
  const allMs = mainMs + inferenceMs + othersMs;
  return [
    ...mainStages(subject.stages, mainMs),
    { stage: "inference (its own thread)", ms: inferenceMs },
    { stage: "garbage collection and compilation (helper threads)", ms: othersMs },
  ]
    .filter(({ ms }) => ms > 0)
    .sort((a, b) => b.ms - a.ms)
    .map(({ stage, ms }) => ({
      stage,
      share: ms / allMs,
      // Whether or not they all sent a packet.
      microsPerPacket: (1000 * ms * PACKET_MS) / (participants * elapsedMs),
    }));
}

/**
 * The profile's times brought to the thread's CPU time. What it used beyond them was native code that V8 takes for
 * idling; if it used less, it was preempted while it ran.
 */
function mainStages(stages: readonly StageTime[], mainMs: number): StageTime[] {
  const profiledMs = stages.reduce((sum, { ms }) => sum + ms, 0);
  const scale = profiledMs > mainMs ? mainMs / profiledMs : 1;
  const unseenMs = mainMs - scale * profiledMs;
  const nativeMs = stages.find(({ stage }) => stage === NATIVE)?.ms ?? 0;
  return [
    ...stages.filter(({ stage }) => stage !== NATIVE).map(({ stage, ms }) => ({ stage, ms: scale * ms })),
    { stage: NATIVE, ms: scale * nativeMs + unseenMs },
  ];
}

const stageTable = (step: LiveStep): string[][] => [
  ["stage", "share of CPU", "µs per participant and 20 ms"],
  ...stageRows(step).map(({ stage, share, microsPerPacket }) => [
    stage,
    `${(100 * share).toFixed(1)} %`,
    microsPerPacket.toFixed(1),
  ]),
];

/** Median over a peer's ramps. */
export function participantsPerCore(ramps: readonly LiveRamp[], peer: PeerName): number | undefined {
  const found = ramps.filter((ramp) => ramp.peer === peer).map(({ capacity }) => capacity.participants);
  return found.length === 0 ? undefined : median(found);
}

/** For the terminal: stages and hot spots of one ramp, and what it says. */
export function rampText(ramp: LiveRamp): string {
  const { capacity, profiled } = ramp;
  const lines = [`\n${summaryOf(ramp)}`];
  if (capacity.disturbed) {
    lines.push(
      "Others used the machine, the sender itself was late: latency and loss are not the service's own.",
    );
  }
  if (profiled !== undefined) lines.push(profileText(profiled));
  return lines.join("\n");
}

/** For the terminal: where the CPU went. */
export function profileText(step: LiveStep): string {
  const spots = step.subject.hotSpots.map(({ name, where, share }) => [
    name,
    where,
    `${(100 * share).toFixed(1)} %`,
  ]);
  return [
    `\nCPU by stage at ${step.participants} participants (with the profiler on):`,
    textTable(stageTable(step)),
    "\nHot spots, own time as a share of the main thread's:",
    textTable(spots),
  ].join("\n");
}

function summaryOf({ peer, description, capacity }: LiveRamp): string {
  const reason = {
    cpu: "one core is used",
    latency: "answers come too late",
    loss: "packets or windows are lost",
    none: "no limit was reached",
  }[capacity.limitedBy];
  return `${MEANING[peer]}: ${capacity.participants} participants, then ${reason} (${description.backend})`;
}

/** The last line of a comparison. */
export function ratioText(ramps: readonly LiveRamp[]): string | undefined {
  const ours = participantsPerCore(ramps, "tonetap");
  const theirs = participantsPerCore(ramps, "naive");
  if (ours === undefined || theirs === undefined || theirs === 0) return undefined;
  return (
    `Participants per core: Tonetap ${ours.toFixed(0)}, literal wiring ${theirs.toFixed(0)}: ` +
    `${(ours / theirs).toFixed(1)} times as many (medians of the same run, in turns).`
  );
}

/** The part of docs/performance.md between its markers. */
export function reportMarkdown({ machine, limits, secondsPerStep, ramps }: LiveReport): string {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}; ` +
      `${machine.date}, commit ${machine.commit}. Limits: ${limits.cpuCores} core, p99 ${limits.p99Ms} ms. ` +
      `${secondsPerStep} s a step.`,
    "",
    markdownTable([
      ["", "participants per core", "each ramp", "ended by"],
      ...(["tonetap", "naive"] as const).flatMap((peer) => summaryRow(ramps, peer)),
    ]),
  ];
  const ratio = ratioText(ramps);
  if (ratio !== undefined) lines.push("", ratio);
  for (const peer of ["tonetap", "naive"] as const) {
    const ramp = ramps.findLast((candidate) => candidate.peer === peer);
    if (ramp === undefined) continue;
    const steps = ramp.steps.toSorted((a, b) => a.participants - b.participants);
    lines.push("", `**${MEANING[peer]}**, last ramp (${ramp.description.backend}):`, "");
    lines.push(markdownTable([[...STEP_COLUMNS], ...steps.map(stepRow)]));
    if (ramp.profiled !== undefined) {
      lines.push("", `CPU by stage at ${ramp.profiled.participants} participants, profiler on:`, "");
      lines.push(markdownTable(stageTable(ramp.profiled)));
    }
  }
  return lines.join("\n");
}

function summaryRow(ramps: readonly LiveRamp[], peer: PeerName): string[][] {
  const own = ramps.filter((ramp) => ramp.peer === peer);
  const perCore = participantsPerCore(ramps, peer);
  if (perCore === undefined) return [];
  const reasons = own.map(({ capacity }) =>
    capacity.disturbed ? `${capacity.limitedBy} (machine busy)` : capacity.limitedBy,
  );
  return [
    [
      MEANING[peer],
      perCore.toFixed(0),
      own.map(({ capacity }) => capacity.participants).join(", "),
      [...new Set(reasons)].join(", "),
    ],
  ];
}

/**
 * `page` with what stands between the two markers replaced.
 * @returns undefined when the markers are not there
 */
export function replaceBetween(page: string, begin: string, end: string, text: string): string | undefined {
  const from = page.indexOf(begin);
  const to = page.indexOf(end, from);
  if (from < 0 || to < 0) return undefined;
  return `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
}
