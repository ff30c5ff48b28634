/** How many threads work on participants' audio, off the configuration. What they do is shards/. */
import { availableParallelism } from "node:os";
import type { Config } from "./config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { ModelManifest } from "./core/model.ts";
import { LocalMediaHost, type MediaHost } from "./media-host.ts";
import { ShardPool } from "./shards/shard-pool.ts";

/** How long a shard rests after packets have come, ms, so that it and the main thread are woken for many at once. */
const REST_MS = 2;

/** @throws TonetapError invalid-argument (shards on a clock of the caller's own), unavailable */
export async function openMediaHost(
  config: Config,
  manifest: ModelManifest,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<MediaHost> {
  const count = shardCount(config);
  const parts = { config, manifest };
  if (count === 0) return new LocalMediaHost({ clock, parts });
  if (clock !== systemClock) {
    throw new TonetapError(
      "invalid-argument",
      `shards.count must be 0 where the caller gives a clock: other threads cannot read it; got ${config.shards.count}`,
    );
  }
  // Who has the batcher wait less wants latency.
  const restMs = Math.min(REST_MS, config.model.maxDelayMs / 2);
  const { maxHeapMiB, hangLimitMs } = config.shards;
  return ShardPool.open({ clock, parts, count, maxHeapMiB, hangLimitMs, restMs, signal });
}

/** `auto`: one a core; on a machine of one core, none. */
export function shardCount({ shards: { count } }: Config): number {
  if (count !== "auto") return count;
  const cores = availableParallelism();
  return cores > 1 ? cores : 0;
}
