/** One WHIP publisher: its werift connection, its answer and its AudioSource. HTTP is whip-server.ts. */
import { RTCPeerConnection, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters } from "werift";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import { type IceServer, isStun, isTurn } from "./ice-servers.ts";
import { WeriftSource } from "./werift-source.ts";
import { writeWhipAnswer } from "./whip-answer.ts";
import { WhipIce } from "./whip-ice.ts";
import { AUDIO_LEVEL_URI, type WhipOffer } from "./whip-offer.ts";

/** How this side gathers its candidates. */
export interface IceOptions {
  /**
   * Sent to publishers in Link headers; a function is asked for each of them, see iceServers(). The first STUN server
   * is also asked here for this machine's public address. Default none: a server with an address of its own needs none.
   */
  readonly iceServers?: readonly IceServer[] | (() => readonly IceServer[]);
  /**
   * Whether this side takes a relay of the first TURN server too: `also`, or `only`, for a machine that may not send UDP
   * to anywhere else. Default `never`: one relay, on the publisher's side, gets through every NAT.
   */
  readonly iceRelay?: "never" | "also" | "only";
  /** Further addresses of this machine to offer as host candidates, such as 127.0.0.1. */
  readonly iceAdditionalHostAddresses?: readonly string[];
  /** Default true. */
  readonly iceUseIpv4?: boolean;
  /** Default true. */
  readonly iceUseIpv6?: boolean;
  /** UDP ports, first and last; each session takes one an address. Default: any free. */
  readonly portRange?: readonly [number, number];
}

export interface WhipSessionOptions {
  /** Unguessable: it is the capability to end the session. */
  readonly id: string;
  readonly offer: WhipOffer;
  readonly ice: IceOptions;
  /** What `ice.iceServers` gave for this session. */
  readonly servers: readonly IceServer[];
  readonly clock: Clock;
  readonly inactivityMs: number;
  readonly ownSrtp?: boolean | undefined;
  readonly maxPacketsPerSecond?: number | undefined;
  /** Runs once, when the session has ended for whatever reason. */
  readonly onEnd: () => void;
}

/** ms that the POST waits for STUN and TURN servers; one that answers later is not in the answer. */
const GATHER_TIMEOUT_MS = 2_000;

export class WhipSession implements Closable {
  readonly id: string;
  readonly source: WeriftSource;
  readonly offer: WhipOffer;
  readonly ice: WhipIce;
  readonly answerSdp: string;

  private constructor(
    { id, offer }: WhipSessionOptions,
    ice: WhipIce,
    source: WeriftSource,
    answerSdp: string,
  ) {
    this.id = id;
    this.offer = offer;
    this.ice = ice;
    this.source = source;
    this.answerSdp = answerSdp;
  }

  /** @throws TonetapError protocol when werift cannot answer; unavailable when no candidate could be gathered. */
  static async open(options: WhipSessionOptions): Promise<WhipSession> {
    const { offer } = options;
    const peer = createPeer(offer, options);
    let source: WeriftSource | undefined;
    try {
      await peer.setRemoteDescription({ type: "offer", sdp: offer.reducedSdp });
      const receiver = peer.getTransceivers()[0]?.receiver;
      if (receiver === undefined)
        throw new TonetapError("internal", "werift made no transceiver for the audio");
      const transport = receiver.dtlsTransport;
      // RFC 8842 §5.3: against an active offer the answer is passive, else werift opens the handshake.
      if (offer.setup === "active") transport.role = "server";
      // Without a STUN server of ours werift asks a public one, whatever iceServers says: nobody asked for that.
      if (!options.servers.some(({ urls }) => isStun(urls))) {
        delete transport.iceTransport.connection.stunServer;
      }
      const gathering = transport.iceTransport.gather();
      source = new WeriftSource({
        kind: "whip",
        transport,
        codecs: new Map(offer.codecs.map(({ payloadType, codec }) => [payloadType, codec])),
        audioLevelId: offer.audioLevelId,
        rtcpSsrc: receiver.rtcpSsrc,
        clock: options.clock,
        inactivityMs: options.inactivityMs,
        ownSrtp: options.ownSrtp,
        maxPacketsPerSecond: options.maxPacketsPerSecond,
        release: async () => {
          options.onEnd();
          await peer.close();
          // A relay that a slow TURN server gives after this is given back.
          Promise.allSettled([gathering])
            .then(() => transport.iceTransport.connection.close())
            .catch(() => "it had nothing left to close");
        },
      });
      endWithPeer(peer, source);
      const ice = new WhipIce(options.id, peer, transport.iceTransport, offer);
      // Before setLocalDescription(), which would wait as long as it takes: a TURN server that refuses us, 13 s.
      await settledWithin(GATHER_TIMEOUT_MS, gathering, options.clock);
      await peer.setLocalDescription(await peer.createAnswer());
      const answerSdp = writeWhipAnswer(
        offer,
        {
          ...ice.local(),
          fingerprints: transport.localParameters.fingerprints.map(
            ({ algorithm, value }) => `${algorithm} ${value}`,
          ),
          setup: transport.role === "server" ? "passive" : "active",
        },
        Math.floor(options.clock.wall()),
      );
      return new WhipSession(options, ice, source, answerSdp);
    } catch (error) {
      await (source ?? peer).close();
      throw TonetapError.from(error, "protocol", "the offer cannot be answered");
    }
  }

  close(): Promise<void> {
    return this.source.close();
  }
}

function createPeer(offer: WhipOffer, { ice, servers }: WhipSessionOptions): RTCPeerConnection {
  const relay = ice.iceRelay ?? "never";
  return new RTCPeerConnection({
    iceServers: servers.filter(({ urls }) => isStun(urls) || (relay !== "never" && isTurn(urls))),
    iceTransportPolicy: relay === "only" ? "relay" : "all",
    iceAdditionalHostAddresses: [...(ice.iceAdditionalHostAddresses ?? [])],
    iceUseIpv4: ice.iceUseIpv4 ?? true,
    iceUseIpv6: ice.iceUseIpv6 ?? true,
    icePortRange: ice.portRange === undefined ? undefined : [ice.portRange[0], ice.portRange[1]],
    iceStunGatherTimeout: GATHER_TIMEOUT_MS / 1000,
    iceTurnConnectTimeout: GATHER_TIMEOUT_MS / 1000,
    bundlePolicy: "max-bundle",
    codecs: {
      audio: offer.codecs.map(
        ({ payloadType, codec, fmtp }) =>
          new RTCRtpCodecParameters({
            mimeType: codec.mimeType,
            clockRate: codec.clockRateHz,
            channels: codec.channels,
            payloadType,
            parameters: fmtp,
          }),
      ),
      video: [],
    },
    headerExtensions: { audio: [new RTCRtpHeaderExtensionParameters({ uri: AUDIO_LEVEL_URI })], video: [] },
  });
}

/** The source ends with the connection: with an error if the peer never got through, else because the peer has left. */
function endWithPeer(peer: RTCPeerConnection, source: WeriftSource): void {
  let wasConnected = false;
  peer.connectionStateChange.subscribe((state) => {
    if (state === "connected") wasConnected = true;
    else if (state === "closed" || (state === "failed" && wasConnected)) void source.close();
    else if (state === "failed") {
      void source.fail(new TonetapError("unavailable", "ICE or DTLS with the WHIP publisher failed"));
    }
  });
}

/** Waits for `task` to succeed or fail, or for `ms`. */
function settledWithin(ms: number, task: Promise<unknown>, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.schedule(ms, resolve);
    const settled = (): void => {
      cancel();
      resolve();
    };
    task.then(settled, settled);
  });
}
