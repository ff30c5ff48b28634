/**
 * The ICE session of one WHIP publisher: our side of it, trickled candidates, restarts. It drives werift's ICE agent
 * itself, because werift restarts by a new offer and answer, which WHIP doesn't have. The rest of the connection is
 * whip-session.ts.
 */
import { candidateToSdp, type RTCIceTransport, type RTCPeerConnection } from "werift";
import { TonetapError } from "../../core/errors.ts";
import type { LocalIce } from "./whip-answer.ts";
import { type IceFragment, MAX_CANDIDATES, type WhipOffer } from "./whip-offer.ts";

/** ICE restarts of one session at most: the agent keeps every password it ever had. */
const MAX_RESTARTS = 64;

export class WhipIce {
  readonly #peer: RTCPeerConnection;
  readonly #transport: RTCIceTransport;
  readonly #mid: string;
  readonly #id: string;
  /** The publisher's username fragments, that of the present ICE session last. */
  readonly #ufrags: string[];
  #candidates = 0;

  /** @param id of the session, whose ICE sessions get entity tags made from it. */
  constructor(id: string, peer: RTCPeerConnection, transport: RTCIceTransport, offer: WhipOffer) {
    this.#peer = peer;
    this.#transport = transport;
    this.#mid = offer.mid;
    this.#id = id.slice(0, 8);
    this.#ufrags = [offer.iceUfrag];
  }

  /** Strong entity tag of the present ICE session. RFC 9725 §4.3.1. */
  get etag(): string {
    return `"${this.#id}-${this.#ufrags.length}"`;
  }

  /** Our side, once candidates are gathered. @throws TonetapError unavailable when there are none. */
  local(): LocalIce {
    const { localCandidates, localParameters } = this.#transport;
    if (localCandidates.length === 0) {
      throw new TonetapError(
        "unavailable",
        "no ICE candidate could be gathered: no address, no free port, or no relay",
      );
    }
    return {
      ufrag: localParameters.usernameFragment,
      pwd: localParameters.password,
      candidates: localCandidates.map((candidate) => `candidate:${candidateToSdp(candidate)}`),
    };
  }

  /** Whether a fragment's credentials are new: the publisher asks for an ICE restart. RFC 8839 §4.4.1.1.1. */
  isRestart({ ufrag }: IceFragment): boolean {
    return ufrag !== undefined && ufrag !== this.#ufrags.at(-1);
  }

  /** Takes trickled candidates; beyond {@link MAX_CANDIDATES} an ICE session's are ignored. */
  async addCandidates({ candidates }: IceFragment): Promise<void> {
    for (const candidate of candidates) {
      if (this.#candidates >= MAX_CANDIDATES || this.#peer.connectionState === "closed") return;
      this.#candidates++;
      await this.#peer.addIceCandidate({ candidate, sdpMid: this.#mid });
    }
  }

  /**
   * Begins another ICE session (RFC 9725 §4.3.3). DTLS and SRTP stay as they are; what the publisher still sends by the
   * old path is taken until a new one is found.
   * @returns our side of the new one
   * @throws TonetapError protocol for a fragment without credentials, conflict when it cannot be done; the old ICE
   * session goes on.
   */
  async restart(fragment: IceFragment): Promise<LocalIce & { readonly etag: string }> {
    const { ufrag, pwd } = fragment;
    if (ufrag === undefined || pwd === undefined) {
      throw new TonetapError("protocol", "an ICE restart needs a=ice-ufrag and a=ice-pwd");
    }
    // werift's first connect() would wait for ever for the ICE session that this one replaces.
    if (this.#peer.connectionState !== "connected") {
      throw new TonetapError("conflict", "there is no connection whose ICE could be restarted: publish anew");
    }
    if (this.#ufrags.includes(ufrag)) {
      throw new TonetapError("conflict", "these ICE credentials are of an earlier ICE session");
    }
    if (this.#ufrags.length > MAX_RESTARTS) {
      throw new TonetapError("conflict", `after ${MAX_RESTARTS} ICE restarts, publish anew`);
    }
    this.#ufrags.push(ufrag);
    this.#candidates = 0;
    const { connection } = this.#transport;
    const { localCandidates } = connection;
    connection.restart();
    // Sockets, addresses behind a NAT and relays stay: gathering again would only take another relay.
    connection.localCandidates = localCandidates;
    connection.localCandidatesEnd = true;
    connection.setRemoteParams({ iceLite: false, usernameFragment: ufrag, password: pwd });
    const answer = { ...this.local(), etag: this.etag };
    // Never found: the old path may still bring packets, and when none come, the source's inactivity timer ends it.
    connection.connect().catch(() => "closed meanwhile");
    await this.addCandidates(fragment);
    return answer;
  }
}
