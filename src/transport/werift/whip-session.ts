/** One WHIP publisher, on the thread that opens it: its werift connection, its answer and its AudioSource. The seam to HTTP is whip-peer.ts. */
import { RTCPeerConnection, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters } from "werift";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import type { LineSignal } from "../../core/line-signal.ts";
import { isStun, isTurn } from "./ice-servers.ts";
import { WeriftSource } from "./werift-source.ts";
import { writeRestartFragment, writeWhipAnswer } from "./whip-answer.ts";
import { WhipIce } from "./whip-ice.ts";
import { AUDIO_LEVEL_URI, type WhipOffer } from "./whip-offer.ts";
import type { IcePatch, IcePatched, WhipAnswer, WhipPeer, WhipPeerOptions } from "./whip-peer.ts";

export interface WhipSessionOptions extends WhipPeerOptions {
  readonly clock: Clock;
  /** Runs once, when the session has ended for whatever reason. */
  readonly onEnd: () => void;
}

/** ms that the POST waits for STUN and TURN servers; one that answers later is not in the answer. */
const GATHER_TIMEOUT_MS = 2_000;

export class WhipSession implements WhipPeer {
  readonly source: WeriftSource;
  readonly answer: WhipAnswer;
  readonly #offer: WhipOffer;
  readonly #ice: WhipIce;

  private constructor(offer: WhipOffer, ice: WhipIce, source: WeriftSource, sdp: string) {
    this.#offer = offer;
    this.#ice = ice;
    this.source = source;
    this.answer = { sdp, etag: ice.etag };
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
      return new WhipSession(offer, ice, source, answerSdp);
    } catch (error) {
      await (source ?? peer).close();
      throw TonetapError.from(error, "protocol", "the offer cannot be answered");
    }
  }

  async patch({ fragment, tags }: IcePatch): Promise<IcePatched> {
    if (tags !== undefined && !tags.includes(this.#ice.etag)) return { kind: "mismatch" };
    if (!this.#ice.isRestart(fragment)) {
      await this.#ice.addCandidates(fragment);
      return { kind: "trickled" };
    }
    const { etag, ...local } = await this.#ice.restart(fragment);
    return { kind: "restarted", etag, fragment: writeRestartFragment(this.#offer, local) };
  }

  tell(signal: LineSignal): void {
    this.source.line.tell(signal);
  }

  close(): Promise<void> {
    return this.source.close();
  }
}

function createPeer(offer: WhipOffer, { gathering, servers }: WhipSessionOptions): RTCPeerConnection {
  const relay = gathering.iceRelay ?? "never";
  return new RTCPeerConnection({
    iceServers: servers.filter(({ urls }) => isStun(urls) || (relay !== "never" && isTurn(urls))),
    iceTransportPolicy: relay === "only" ? "relay" : "all",
    iceAdditionalHostAddresses: [...(gathering.iceAdditionalHostAddresses ?? [])],
    iceUseIpv4: gathering.iceUseIpv4 ?? true,
    iceUseIpv6: gathering.iceUseIpv6 ?? true,
    icePortRange:
      gathering.portRange === undefined ? undefined : [gathering.portRange[0], gathering.portRange[1]],
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
