/** Publishers' connections on this thread. */
import type { Clock } from "../../core/clock.ts";
import type { OpenWhipPeer } from "./whip-peer.ts";

/**
 * Loads werift, which takes 40 MB and 0.2 s of the thread: now, not when somebody publishes while others talk. Where
 * connections are in shards nobody calls this, and the main thread does without.
 */
export function openWhipHere(clock: Clock): OpenWhipPeer {
  const loading = import("./whip-session.ts");
  loading.catch(() => {
    // Whoever publishes is told.
  });
  return async (options, onEnd) => {
    const { WhipSession } = await loading;
    return WhipSession.open({ ...options, clock, onEnd });
  };
}
