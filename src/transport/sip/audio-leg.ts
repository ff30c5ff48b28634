/** One audio stream of a call: its port, its keys, its source, and what offers and answers have agreed for it. */
import { isIPv6 } from "node:net";
import type { Clock } from "../../core/clock.ts";
import type { CodecMap } from "../../core/rtp.ts";
import type { UdpRtpPort } from "../udp-rtp-port.ts";
import { MediaKeys } from "./media-keys.ts";
import type { RtpPorts } from "./rtp-ports.ts";
import { type LocalMedia, OFFERED_CODECS, type RemoteAudio, type SrtpPolicy } from "./sdp.ts";
import { type Refusal, refusal } from "./sip-request.ts";
import { type MediaPeer, SipSource } from "./sip-source.ts";

const NO_MORE_CODECS: CodecMap = new Map();

export interface MediaSettings {
  readonly clock: Clock;
  readonly ports: RtpPorts;
  /** The address that peers are told. */
  readonly announcedHost: string;
  readonly mediaPeer: MediaPeer;
  readonly srtp: SrtpPolicy;
  readonly inactivityMs: number;
  readonly holdMs: number;
}

export interface AudioLegOptions {
  readonly rtcpMux: boolean;
  /** Where the signalling comes from. */
  readonly signallingHost: string;
  /** ms that other streams of the same call are waited for still: one that is silent among them is not dead. */
  readonly othersPatienceMs?: () => number;
  /** Runs once, when it has ended for whatever reason. */
  readonly onEnd: () => void;
}

/** What peers may be told to send to. */
export const familyOf = ({ announcedHost }: MediaSettings): "IP4" | "IP6" =>
  isIPv6(announcedHost) ? "IP6" : "IP4";

export class AudioLeg {
  readonly source: SipSource;
  readonly #settings: MediaSettings;
  readonly #port: UdpRtpPort;
  readonly #keys: MediaKeys;

  private constructor(settings: MediaSettings, port: UdpRtpPort, options: AudioLegOptions) {
    const { clock, mediaPeer, inactivityMs, holdMs, ports } = settings;
    this.#settings = settings;
    this.#port = port;
    this.#keys = new MediaKeys((remote) => port.secure({ remote }));
    this.source = new SipSource({
      clock,
      port,
      mediaPeer,
      signallingHost: options.signallingHost,
      inactivityMs,
      holdMs,
      ...(options.othersPatienceMs === undefined ? {} : { othersPatienceMs: options.othersPatienceMs }),
      onEnd: () => {
        ports.release(port);
        options.onEnd();
      },
    });
  }

  /** @throws TonetapError overloaded, unavailable when there is no port. */
  static async open(settings: MediaSettings, options: AudioLegOptions): Promise<AudioLeg> {
    const port = await settings.ports.open(options.rtcpMux ? "same-port" : "next-port");
    return new AudioLeg(settings, port, options);
  }

  /** What is protected is not sent in the clear again. */
  allows(remote: RemoteAudio): Refusal | undefined {
    if (remote.crypto !== undefined || !this.#keys.secured) return undefined;
    return refusal(488, "this call is protected by SRTP: its media cannot be offered in the clear");
  }

  /** Agrees to an offer; gives what the answer says. */
  answer(remote: RemoteAudio): LocalMedia {
    const crypto = this.#keys.answer(remote.crypto);
    this.source.agree(remote, remote.codecs, isHold(remote));
    return { port: this.#port.address.port, crypto };
  }

  /** What we would take, for a peer that asks. */
  offer(): LocalMedia {
    const crypto = this.#settings.srtp === "required" || this.#keys.secured ? this.#keys.offer() : [];
    return { port: this.#port.address.port, crypto };
  }

  /**
   * The peer has answered our offer: it sends with the payload types that we named (RFC 3264 §5.1).
   * @returns false if that is no answer to what was offered
   */
  answered(remote: RemoteAudio): boolean {
    if (!this.#keys.answered(remote.crypto)) return false;
    this.source.agree(remote, OFFERED_CODECS, isHold(remote));
    return true;
  }

  /** The peer has answered what we said last: it may have moved, have a new key, or hold the call. */
  confirmed(remote: RemoteAudio): void {
    if (this.#keys.answered(remote.crypto)) this.source.agree(remote, NO_MORE_CODECS, isHold(remote));
  }
}

/**
 * The peer has stopped sending. `sendonly` is no hold here: the answer was `recvonly`, so that it is what a peer says when it
 * merely repeats what was agreed (RFC 3264 §8.4 has a stream that is sent only put on hold by `inactive`).
 */
const isHold = ({ direction, blackHole }: RemoteAudio): boolean =>
  blackHole || direction === "recvonly" || direction === "inactive";
