/** Audio of SIP legs, and voices of recordings in it, whose sockets are in this shard. The main side is shard-sip-source.ts. */
import { TonetapError } from "../core/errors.ts";
import { SipSource } from "../transport/sip/sip-source.ts";
import type { HostedSource, HostedSourceContext } from "./hosted-source.ts";
import type { HostedSipOptions, HostedVoiceOptions } from "./shard-protocol.ts";

/** @throws TonetapError unavailable when the port cannot be had */
export async function openSip(
  { agreement, ...options }: HostedSipOptions,
  { clock, onEnd }: HostedSourceContext,
): Promise<HostedSource<"sip">> {
  const source = await SipSource.open({ ...options, clock, onEnd: (error) => onEnd(error, source.timedOut) });
  if (agreement !== undefined) await source.agree(agreement);
  return { source, opened: { address: source.address }, ask: (agreed) => source.agree(agreed) };
}

/** @throws TonetapError closed when its stream has ended */
export async function openVoice(
  { reception, held }: HostedVoiceOptions,
  { find, onEnd }: HostedSourceContext,
): Promise<HostedSource<"sip-voice">> {
  const stream = find(reception);
  if (!(stream instanceof SipSource)) throw new TonetapError("closed", "the stream of this voice has ended");
  const source = await stream.voice(() => undefined);
  source.held = held;
  // Its reports end with the stream, too, and, unlike packets, may be listened to by two.
  source.senderReports?.subscribe({ complete: () => onEnd(undefined, source.timedOut === true) });
  return {
    source,
    opened: {},
    ask: async (news) => {
      source.held = news.held;
    },
  };
}
