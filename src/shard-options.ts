/** How many threads work on participants' audio, off the configuration. What they do is shards/. */
import { availableParallelism } from "node:os";
import type { Config } from "./config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { ModelHost } from "./inference/index.ts";
import { LocalMediaHost, type MediaHost } from "./media-host.ts";
import { ShardPool } from "./shards/shard-pool.ts";

/** @throws TonetapError invalid-argument (shards on a clock of the caller's own), unavailable */
export async function openMediaHost(
  config: Config,
  models: Pick<ModelHost, "manifest" | "delayMs">,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<MediaHost> {
  const count = shardCount(config);
  const parts = { config, manifest: models.manifest };
  if (count === 0) return new LocalMediaHost({ clock, parts });
  if (clock !== systemClock) {
    throw new TonetapError(
      "invalid-argument",
      `shards.count must be 0 where the caller gives a clock: other threads cannot read it; got ${config.shards.count}`,
    );
  }
  const { maxHeapMiB, hangLimitMs } = config.shards;
  const delayMs = (): number => models.delayMs;
  const batch = Math.min(config.model.maxBatch, ...config.model.preferredBatches);
  return ShardPool.open({
    clock,
    parts,
    count,
    maxHeapMiB,
    hangLimitMs,
    delayMs,
    batch,
    signal,
  });
}

/** `auto`: one a core; on a machine of one core, none. */
export function shardCount({ shards: { count } }: Config): number {
  if (count !== "auto") return count;
  const cores = availableParallelism();
  return cores > 1 ? cores : 0;
}
