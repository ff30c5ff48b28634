/** A participant's counters as one row of numbers: how they travel from a shard, all participants in one array. */
import type { DecodeStats } from "../stream/index.ts";
import type { JitterStats } from "../transport/index.ts";

type Counted = JitterStats | DecodeStats | JitterStats["ignored"] | DecodeStats["samples"];

/** Appends the numbers of `stats`, those inside of it too, in the order of its fields. */
export function pushCounters(stats: Counted, into: number[]): void {
  for (const value of Object.values(stats) as (number | Counted)[]) {
    if (typeof value === "number") into.push(value);
    else pushCounters(value, into);
  }
}

/** Sets the numbers of `stats` to those that pushCounters() made of one like it. @returns where the next begin */
export function readCounters(stats: Counted, from: ArrayLike<number>, at: number): number {
  const fields = stats as unknown as Record<string, number | Counted>;
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === "number") fields[name] = from[at++] ?? 0;
    else at = readCounters(value, from, at);
  }
  return at;
}
