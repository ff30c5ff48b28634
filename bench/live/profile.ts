/** What a V8 CPU profile says of the stages of a chain. Pure: taking the profile is subject.ts. */
import type { HotSpot } from "./protocol.ts";

/** The parts of the inspector's `Profiler.Profile` that are used. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Node id of each sample. */
  readonly samples?: readonly number[] | undefined;
  /** µs before each sample since the one before. */
  readonly timeDeltas?: readonly number[] | undefined;
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** From 0. */
    readonly lineNumber: number;
  };
  readonly children?: readonly number[] | undefined;
}

/** A stage, and the scripts whose work it is: the first pattern that fits a script's address decides. */
export type StageRules = readonly (readonly [stage: string, script: RegExp])[];

export interface StageTime {
  readonly stage: string;
  readonly ms: number;
}

export const GARBAGE = "garbage collection";
/** libuv reading sockets and running timers: no JavaScript is on the stack. */
export const NATIVE = "socket reads and event loop (native)";
const REST = "rest";

/**
 * The stages of Tonetap's main thread. Everything else (core/, Node's own modules, WebAssembly, built-ins) counts for
 * whichever stage called it.
 */
export const TONETAP_STAGES: StageRules = [
  ["receive and RTP parse", /\/src\/transport\/(udp-rtp|rtp-flow|rtp-packet|rtcp|bytes)[^/]*$|^node:dgram$/],
  ["jitter buffer", /\/src\/transport\//],
  ["Opus decode", /\/src\/stream\/(decode-audio|opus-|g711|comfort-noise)|\/libopus-wasm\//],
  ["features", /\/src\/stream\/(features\/|feature-frames|frame-ring)/],
  ["voice activity", /\/src\/stream\/voice-activity/],
  ["windows", /\/src\/stream\/(sliding-windows|normaliser|talk-spurts)/],
  ["batching and smoothing", /\/src\/inference\//],
  ["events", /\/src\/(events\/|engine\.ts)|\/node_modules\/ws\//],
  ["RxJS and chain", /\/node_modules\/rxjs\/|\/src\/(stream\/stage|participant|service)\.ts$/],
  ["measuring", /\/bench\//],
];

/**
 * Divides the busy time among stages: a sample counts for the innermost function on its stack whose script a rule
 * knows.
 * Idle samples count for nothing, and those that V8 calls idle are: also what Node reads from sockets between two calls
 * of JavaScript. Whoever knows the thread's CPU time adds the rest to NATIVE.
 * @returns stages that have a share, the largest first
 */
export function stageTimes(profile: CpuProfile, rules: StageRules): StageTime[] {
  const stageOf = stageFinder(profile, rules);
  const times = new Map<string, number>();
  eachBusySample(profile, (node, micros) => {
    const stage = stageOf(node);
    times.set(stage, (times.get(stage) ?? 0) + micros);
  });
  return [...times].map(([stage, micros]) => ({ stage, ms: micros / 1000 })).sort((a, b) => b.ms - a.ms);
}

/** The functions with the largest own share of the busy time. */
export function hotSpots(profile: CpuProfile, limit: number): HotSpot[] {
  const times = new Map<string, { name: string; where: string; micros: number }>();
  const busy = eachBusySample(profile, ({ callFrame }, micros) => {
    const { functionName, url, lineNumber } = callFrame;
    const where = url === "" ? "" : `${shortUrl(url)}:${lineNumber + 1}`;
    const name = functionName === "" ? "(anonymous)" : functionName;
    const key = `${name} ${where}`;
    const entry = times.get(key);
    if (entry === undefined) times.set(key, { name, where, micros });
    else entry.micros += micros;
  });
  return [...times.values()]
    .sort((a, b) => b.micros - a.micros)
    .slice(0, limit)
    .map(({ name, where, micros }) => ({ name, where, share: micros / busy }));
}

/** @returns busy time in all, µs; 1 when there is none, to divide by */
function eachBusySample(profile: CpuProfile, take: (node: ProfileNode, micros: number) => void): number {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const { samples = [], timeDeltas = [] } = profile;
  let busy = 0;
  for (const [i, id] of samples.entries()) {
    const node = nodes.get(id);
    // A sample stands for the time up to the next one.
    const micros = Math.max(0, timeDeltas[i + 1] ?? 0);
    if (node === undefined || node.callFrame.functionName === "(idle)") continue;
    busy += micros;
    take(node, micros);
  }
  return busy === 0 ? 1 : busy;
}

function stageFinder(profile: CpuProfile, rules: StageRules): (node: ProfileNode) => string {
  const parents = new Map<number, ProfileNode>();
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node);
  const known = new Map<number, string>();
  const find = (node: ProfileNode): string => {
    const { functionName, url } = node.callFrame;
    if (functionName === "(garbage collector)") return GARBAGE;
    if (functionName === "(program)") return NATIVE;
    const rule = url === "" ? undefined : rules.find(([, script]) => script.test(url));
    if (rule !== undefined) return rule[0];
    const parent = parents.get(node.id);
    return parent === undefined ? REST : stageOf(parent);
  };
  const stageOf = (node: ProfileNode): string => {
    const stage = known.get(node.id) ?? find(node);
    known.set(node.id, stage);
    return stage;
  };
  return stageOf;
}

/** Without what is before the project or the package: no machine's paths in results. */
const shortUrl = (url: string): string =>
  url
    .replace(/^.*\/node_modules\//, "")
    .replace(/^file:.*?\/(src|bench)\//, "$1/")
    .replace(/^wasm:.*/, "wasm");
