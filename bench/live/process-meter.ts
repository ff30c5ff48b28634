/** What a process used, as the system counts it: CPU by thread, memory, datagrams that a full socket lost. */
import { readdirSync, readFileSync } from "node:fs";

export interface CpuReading {
  /** ms of CPU since the process began, all threads. */
  readonly totalMs: number;
  /** ms of CPU of each living thread, by its name; threads of one name are added up. Linux only, else empty. */
  readonly threadMs: ReadonlyMap<string, number>;
}

export function readCpu(): CpuReading {
  const { user, system } = process.cpuUsage();
  return { totalMs: (user + system) / 1000, threadMs: readThreads() };
}

/** CPU between two readings, in cores: of all, and by thread name. */
export function coresBetween(
  before: CpuReading,
  after: CpuReading,
  elapsedMs: number,
): { readonly cpuCores: number; readonly threadCores: Record<string, number> } {
  const threadCores: Record<string, number> = {};
  for (const [name, ms] of after.threadMs) {
    threadCores[name] = (ms - (before.threadMs.get(name) ?? 0)) / elapsedMs;
  }
  return { cpuCores: (after.totalMs - before.totalMs) / elapsedMs, threadCores };
}

function readThreads(): Map<string, number> {
  const threads = new Map<string, number>();
  if (process.platform !== "linux") return threads;
  for (const id of readdirSync("/proc/self/task")) {
    const name = read(`/proc/self/task/${id}/comm`)?.trim();
    // The first figure of schedstat is ns on a processor.
    const ns = Number(read(`/proc/self/task/${id}/schedstat`)?.split(" ")[0]);
    if (name === undefined || !Number.isFinite(ns)) continue;
    threads.set(name, (threads.get(name) ?? 0) + ns / 1e6);
  }
  return threads;
}

/** Datagrams for a local IPv4 UDP port that found its buffer full, since it was bound; undefined where nobody says. */
export function readSocketDrops(port: number): number | undefined {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  const line = read("/proc/net/udp")
    ?.split("\n")
    .find((entry) => entry.trim().split(/\s+/)[1]?.endsWith(`:${hexPort}`));
  return line === undefined ? undefined : Number(line.trim().split(/\s+/).at(-1));
}

/** undefined when it is not there: threads end while they are listed. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
