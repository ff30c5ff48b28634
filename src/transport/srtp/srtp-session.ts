/** Both directions of a peer's SRTP: what it sends us, and the feedback that we send it. */
import { SrtpReceiver, type SrtpReceiverOptions } from "./srtp-receiver.ts";
import { SrtpSender } from "./srtp-sender.ts";
import type { SrtpMasterKey } from "./srtp-suite.ts";

export interface SrtpKeys extends SrtpReceiverOptions {
  /** What the peer protects with. */
  readonly remote: SrtpMasterKey;
  /** What we protect with; without it nothing can be sent. */
  readonly local?: SrtpMasterKey;
}

/** Contexts for both directions. Keep one for as long as its keys are used: a second one would forget what was replayed. */
export interface SrtpSession {
  readonly receiver: SrtpReceiver;
  readonly sender: SrtpSender | undefined;
}

/** @throws TonetapError invalid-argument when a key has the wrong size. */
export function createSrtpSession({ remote, local, ...options }: SrtpKeys): SrtpSession {
  return {
    receiver: new SrtpReceiver(remote, options),
    sender: local === undefined ? undefined : new SrtpSender(local),
  };
}
