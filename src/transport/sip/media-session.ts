/** The media side of one call: its port, its source, and what offers and answers have agreed. Signalling is sip-call.ts. */
import { randomInt } from "node:crypto";
import { isIPv6 } from "node:net";
import type { Clock } from "../../core/clock.ts";
import type { CodecMap } from "../../core/rtp.ts";
import type { UdpRtpPort } from "../udp-rtp-port.ts";
import { MediaKeys } from "./media-keys.ts";
import type { RtpPorts } from "./rtp-ports.ts";
import {
  type LocalAudio,
  OFFERED_CODECS,
  type RemoteAudio,
  readRemoteAudio,
  type SrtpPolicy,
  writeAnswer,
  writeOffer,
} from "./sdp.ts";
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

export class MediaSession {
  readonly source: SipSource;
  readonly #settings: MediaSettings;
  readonly #port: UdpRtpPort;
  readonly #keys: MediaKeys;
  readonly #sessionId = randomInt(2 ** 47);
  #version = 1;
  #lastText: string | undefined;

  private constructor(settings: MediaSettings, port: UdpRtpPort, signallingHost: string, onEnd: () => void) {
    const { clock, mediaPeer, inactivityMs, holdMs, ports } = settings;
    this.#settings = settings;
    this.#port = port;
    this.#keys = new MediaKeys((remote) => port.secure({ remote }));
    this.source = new SipSource({
      clock,
      port,
      mediaPeer,
      signallingHost,
      inactivityMs,
      holdMs,
      onEnd: () => {
        ports.release(port);
        onEnd();
      },
    });
  }

  /** @throws TonetapError overloaded, unavailable when there is no port. */
  static async open(
    settings: MediaSettings,
    rtcpMux: boolean,
    signallingHost: string,
    onEnd: () => void,
  ): Promise<MediaSession> {
    const port = await settings.ports.open(rtcpMux ? "same-port" : "next-port");
    return new MediaSession(settings, port, signallingHost, onEnd);
  }

  /** Reads the peer's first offer. */
  static read({ announcedHost, srtp }: MediaSettings, sdp: string): RemoteAudio | Refusal {
    return readRemoteAudio(sdp, isIPv6(announcedHost) ? "IP6" : "IP4", srtp);
  }

  /** Reads a later offer, or an answer to ours: what is protected is not sent in the clear again. */
  read(sdp: string): RemoteAudio | Refusal {
    const remote = MediaSession.read(this.#settings, sdp);
    if ("kind" in remote || remote.crypto !== undefined || !this.#keys.secured) return remote;
    return refusal(488, "this call is protected by SRTP: its media cannot be offered in the clear");
  }

  /** Agrees to an offer; gives the answer. */
  answer(remote: RemoteAudio): string {
    const crypto = this.#keys.answer(remote.crypto);
    this.source.agree(remote, remote.codecs, isHold(remote));
    return this.#text((local) => writeAnswer(remote, { ...local, crypto }));
  }

  /** What we would take, for a peer that asks. */
  offer(): string {
    const crypto = this.#settings.srtp === "required" || this.#keys.secured ? this.#keys.offer() : [];
    return this.#text((local) => writeOffer({ ...local, crypto }));
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

  /** What we said last: as an offer it asks that everything stays as it is. */
  get latest(): string | undefined {
    return this.#lastText;
  }

  /** The peer has answered {@link latest}: it may have moved, have a new key, or hold the call. */
  confirmed(remote: RemoteAudio): void {
    if (this.#keys.answered(remote.crypto)) this.source.agree(remote, NO_MORE_CODECS, isHold(remote));
  }

  /** RFC 3264 §8: the version rises when, and only when, something has changed. */
  #text(write: (local: Omit<LocalAudio, "crypto">) => string): string {
    const { announcedHost: host } = this.#settings;
    const local = { host, port: this.#port.address.port, sessionId: this.#sessionId };
    const same = write({ ...local, version: this.#version });
    if (this.#lastText !== undefined && same !== this.#lastText) this.#version++;
    this.#lastText = write({ ...local, version: this.#version });
    return this.#lastText;
  }
}

/**
 * The peer has stopped sending. `sendonly` is no hold here: the answer was `recvonly`, so that it is what a peer says when it
 * merely repeats what was agreed (RFC 3264 §8.4 has a stream that is sent only put on hold by `inactive`).
 */
const isHold = ({ direction, blackHole }: RemoteAudio): boolean =>
  blackHole || direction === "recvonly" || direction === "inactive";
