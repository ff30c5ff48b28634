/** Which load to try next, and what the tries say of the limit. Pure: trying is run-live.ts. */
import { crossing } from "./statistics.ts";

export interface RampLimits {
  /** Cores of CPU that the service may use. */
  readonly cpuCores: number;
  /** ms from a window's last packet to its event that 99 % of events may take. */
  readonly p99Ms: number;
  /** The search ends when pass and fail are this close, as a share of the load. */
  readonly resolution: number;
  readonly maxParticipants: number;
}

/** What one try showed. */
export interface RampPoint {
  readonly participants: number;
  readonly cpuCores: number;
  readonly p99Ms: number;
  /** Packets that were sent and not analysed. */
  readonly lostPackets: number;
  /** Windows without an answer. */
  readonly droppedWindows: number;
  /** The load generator itself was late: others use the machine, and lateness says nothing of the service. */
  readonly starved: boolean;
}

export type Verdict = "pass" | "cpu" | "latency" | "loss";

/** A starved try is judged by its CPU time, as long as all the work was done in it. */
export function verdictOf(point: RampPoint, limits: RampLimits): Verdict {
  if (point.cpuCores > limits.cpuCores) return "cpu";
  if (point.lostPackets > 0 || point.droppedWindows > 0) return "loss";
  return point.p99Ms > limits.p99Ms && !point.starved ? "latency" : "pass";
}

/** The highest load that passed below the lowest one that failed. */
export interface Bracket {
  readonly pass: RampPoint | undefined;
  readonly fail: RampPoint | undefined;
}

export function bracketOf(points: readonly RampPoint[], limits: RampLimits): Bracket {
  const failed = points.filter((point) => failsAt(point.participants, points, limits));
  const fail = lowest(failed);
  const passed = points.filter(
    (point) =>
      verdictOf(point, limits) === "pass" && (fail === undefined || point.participants < fail.participants),
  );
  return { pass: highest(passed), fail };
}

/**
 * The next load to try; undefined when the search is over.
 * Upwards it goes to where CPU will reach the limit if it goes on as it did; between a pass and a fail to where CPU
 * crosses the limit, or to the middle.
 */
export function nextParticipants(
  points: readonly RampPoint[],
  limits: RampLimits,
  first: number,
): number | undefined {
  const last = points.at(-1);
  if (last === undefined) return Math.min(first, limits.maxParticipants);
  if (isUnconfirmed(last, points, limits)) return last.participants;
  const { pass, fail } = bracketOf(points, limits);
  if (fail === undefined) {
    if (pass === undefined || pass.participants >= limits.maxParticipants) return undefined;
    const aim = (pass.participants * limits.cpuCores) / Math.max(pass.cpuCores, 1e-3);
    return Math.min(
      limits.maxParticipants,
      Math.ceil(clamp(aim, 1.06 * pass.participants, 2 * pass.participants)),
    );
  }
  if (pass === undefined) return fail.participants === 1 ? undefined : Math.max(1, fail.participants >> 1);
  const gap = fail.participants - pass.participants;
  if (gap <= Math.max(1, limits.resolution * fail.participants)) return undefined;
  const margin = Math.max(1, 0.2 * gap);
  const aim = cpuCrossing(pass, fail, limits) ?? pass.participants + gap / 2;
  return Math.round(clamp(aim, pass.participants + margin, fail.participants - margin));
}

export interface Capacity {
  /** Participants at the limit. */
  readonly participants: number;
  /** What ended it; `none`: it was not reached. */
  readonly limitedBy: Exclude<Verdict, "pass"> | "none";
  /** A try that decided was starved, see {@link RampPoint}: the figure is a lower bound, or knows nothing of latency. */
  readonly disturbed: boolean;
}

/** Between a pass and a fail by CPU the limit lies where CPU crosses it; any other fail leaves the pass. */
export function capacityOf(points: readonly RampPoint[], limits: RampLimits): Capacity {
  const { pass, fail } = bracketOf(points, limits);
  const disturbed = pass?.starved === true || fail?.starved === true;
  if (fail === undefined) return { participants: pass?.participants ?? 0, limitedBy: "none", disturbed };
  const verdict = verdictOf(fail, limits);
  const limitedBy = verdict === "pass" ? "none" : verdict;
  if (pass === undefined) return { participants: 0, limitedBy, disturbed };
  const participants = Math.floor(cpuCrossing(pass, fail, limits) ?? pass.participants);
  return { participants, limitedBy, disturbed };
}

function cpuCrossing(pass: RampPoint, fail: RampPoint, limits: RampLimits): number | undefined {
  if (verdictOf(fail, limits) !== "cpu") return undefined;
  return crossing([pass.participants, pass.cpuCores], [fail.participants, fail.cpuCores], limits.cpuCores);
}

/** A machine can be late or lose packets for a moment: that counts when it happens twice at one load. */
function failsAt(participants: number, points: readonly RampPoint[], limits: RampLimits): boolean {
  const verdicts = points
    .filter((point) => point.participants === participants)
    .map((point) => verdictOf(point, limits));
  if (verdicts.includes("pass")) return false;
  return verdicts.includes("cpu") || verdicts.length >= 2;
}

function isUnconfirmed(last: RampPoint, points: readonly RampPoint[], limits: RampLimits): boolean {
  const verdict = verdictOf(last, limits);
  const tries = points.filter(({ participants }) => participants === last.participants);
  return tries.length === 1 && (verdict === "latency" || verdict === "loss");
}

const clamp = (value: number, min: number, max: number): number => Math.min(max, Math.max(min, value));

const byParticipants = (a: RampPoint, b: RampPoint): number => a.participants - b.participants;
const lowest = (points: readonly RampPoint[]): RampPoint | undefined => points.toSorted(byParticipants)[0];
const highest = (points: readonly RampPoint[]): RampPoint | undefined =>
  points.toSorted(byParticipants).at(-1);
