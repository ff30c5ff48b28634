/** A WHIP publisher's connection in this shard: ICE, DTLS and SRTP are transport/werift's. The main side is shard-whip-peer.ts. */
import type { WhipPeerOptions } from "../transport/werift/whip-peer.ts";
import type { WhipSession } from "../transport/werift/whip-session.ts";
import type { HostedSource, HostedSourceContext } from "./hosted-source.ts";

/** @throws TonetapError as WhipSession.open() */
export async function openWhip(
  options: WhipPeerOptions,
  { clock, onEnd }: HostedSourceContext,
): Promise<HostedSource<"whip">> {
  // Only with the first publisher: werift takes 0.2 s and 40 MB, which a shard without WHIP need not pay.
  const { WhipSession } = await import("../transport/werift/whip-session.ts");
  let opened: WhipSession | undefined;
  const session = await WhipSession.open({
    ...options,
    clock,
    // It may end before it is there.
    onEnd: () => onEnd(undefined, opened?.source.timedOut === true),
  });
  opened = session;
  return { source: session.source, opened: session.answer, ask: (patch) => session.patch(patch) };
}
