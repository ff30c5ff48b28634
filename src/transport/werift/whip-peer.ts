/**
 * The seam between WHIP's signalling and a publisher's connection, which may live on another thread: what the endpoint
 * asks of it. HTTP is whip-server.ts, the connection on werift whip-session.ts.
 */
import type { AudioSource } from "../../core/audio-source.ts";
import type { Closable } from "../../core/lifecycle.ts";
import type { LineSignal } from "../../core/line-signal.ts";
import type { IceServer } from "./ice-servers.ts";
import type { IceFragment, WhipOffer } from "./whip-offer.ts";

/** How this side gathers its candidates. */
export interface IceGathering {
  /**
   * Whether this side takes a relay of the first TURN server too: `also`, or `only`, for a machine that may not send UDP
   * to anywhere else. Default `never`: one relay, on the publisher's side, gets through every NAT.
   */
  readonly iceRelay?: "never" | "also" | "only" | undefined;
  /** Further addresses of this machine to offer as host candidates, such as 127.0.0.1. */
  readonly iceAdditionalHostAddresses?: readonly string[] | undefined;
  /** Default true. */
  readonly iceUseIpv4?: boolean | undefined;
  /** Default true. */
  readonly iceUseIpv6?: boolean | undefined;
  /** UDP ports, first and last; each session takes one an address. Default: any free. */
  readonly portRange?: readonly [number, number] | undefined;
}

/** What a connection is opened with: plain data, which survives structured cloning. */
export interface WhipPeerOptions {
  /** Of the session. Unguessable: it is the capability to end it. */
  readonly id: string;
  readonly offer: WhipOffer;
  readonly gathering: IceGathering;
  /** STUN and TURN servers for this session. */
  readonly servers: readonly IceServer[];
  /** ms without a packet after which the publisher has left. */
  readonly inactivityMs: number;
  readonly ownSrtp?: boolean | undefined;
  readonly maxPacketsPerSecond?: number | undefined;
}

/** What a PATCH brings. RFC 9725 §4.3. */
export interface IcePatch {
  readonly fragment: IceFragment;
  /** Entity tags of If-Match, one of which must be that of the present ICE session; undefined: any session will do. */
  readonly tags: readonly string[] | undefined;
}

export type IcePatched =
  /** Its candidates are taken. */
  | { readonly kind: "trickled" }
  /** Another ICE session, with an entity tag and a fragment of its own. */
  | { readonly kind: "restarted"; readonly etag: string; readonly fragment: string }
  /** No tag is that of the present ICE session; nothing was done. */
  | { readonly kind: "mismatch" };

/** What is told to a publisher that has come. */
export interface WhipAnswer {
  readonly sdp: string;
  /** Strong entity tag of its first ICE session. RFC 9725 §4.3.1. */
  readonly etag: string;
}

/** One publisher's connection, wherever it lives. Closing it ends its source, and the other way round. */
export interface WhipPeer extends Closable {
  readonly source: AudioSource;
  readonly answer: WhipAnswer;
  /** @throws TonetapError protocol or conflict for a restart that cannot be; the session goes on as it was */
  patch(patch: IcePatch): Promise<IcePatched>;
  /** The publisher says something beside its media: its source's signals give it on. */
  tell(signal: LineSignal): void;
}

/**
 * Opens a connection that answers an offer.
 * @param onEnd called once, when it has ended for whatever reason
 * @throws TonetapError protocol when it cannot be answered; unavailable when no candidate could be gathered
 */
export type OpenWhipPeer = (options: WhipPeerOptions, onEnd: () => void) => Promise<WhipPeer>;
