/** Preloaded into a process and its threads: a shard that is told to hangs for good. The process is hanging-shard.ts. */
import { isMainThread, workerData } from "node:worker_threads";

const isShard =
  !isMainThread && typeof workerData === "object" && workerData !== null && "ring" in workerData;
if (isShard) {
  const channel = new BroadcastChannel("hang");
  channel.onmessage = () => {
    for (;;) {
      // As a loop would that never ends by mistake.
    }
  };
}
