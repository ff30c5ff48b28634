/** The media side of one call: its port, its source, and what offers and answers have agreed. Signalling is sip-call.ts. */
import { randomInt } from "node:crypto";
import { isIPv6 } from "node:net";
import type { Clock } from "../../core/clock.ts";
import type { CodecMap } from "../../core/rtp.ts";
import type { UdpRtpPort } from "../udp-rtp-port.ts";
import type { RtpPorts } from "./rtp-ports.ts";
import {
  type LocalAudio,
  OFFERED_CODECS,
  type RemoteAudio,
  readRemoteAudio,
  writeAnswer,
  writeOffer,
} from "./sdp.ts";
import type { Refusal } from "./sip-request.ts";
import { type MediaPeer, SipSource } from "./sip-source.ts";

const NO_MORE_CODECS: CodecMap = new Map();

export interface MediaSettings {
  readonly clock: Clock;
  readonly ports: RtpPorts;
  /** The address that peers are told. */
  readonly announcedHost: string;
  readonly mediaPeer: MediaPeer;
  readonly inactivityMs: number;
  readonly holdMs: number;
}

export class MediaSession {
  readonly source: SipSource;
  readonly #settings: MediaSettings;
  readonly #port: UdpRtpPort;
  readonly #sessionId = randomInt(2 ** 47);
  #version = 1;
  #lastText: string | undefined;

  private constructor(settings: MediaSettings, port: UdpRtpPort, signallingHost: string, onEnd: () => void) {
    const { clock, mediaPeer, inactivityMs, holdMs, ports } = settings;
    this.#settings = settings;
    this.#port = port;
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

  /** Reads the peer's offer, or its answer to ours. */
  static read(settings: MediaSettings, sdp: string): RemoteAudio | Refusal {
    return readRemoteAudio(sdp, isIPv6(settings.announcedHost) ? "IP6" : "IP4");
  }

  /** Agrees to an offer; gives the answer. */
  answer(remote: RemoteAudio): string {
    this.source.agree(remote, remote.codecs, isHold(remote));
    return this.#text((local) => writeAnswer(remote, local));
  }

  /** What we would take, for a peer that asks. */
  offer(): string {
    return this.#text(writeOffer);
  }

  /** The peer has answered our offer: it sends with the payload types that we named (RFC 3264 §5.1). */
  answered(remote: RemoteAudio): void {
    this.source.agree(remote, OFFERED_CODECS, isHold(remote));
  }

  /** What we said last: as an offer it asks that everything stays as it is. */
  get latest(): string | undefined {
    return this.#lastText;
  }

  /** The peer has answered {@link latest}: it may have moved, or hold the call. */
  confirmed(remote: RemoteAudio): void {
    this.source.agree(remote, NO_MORE_CODECS, isHold(remote));
  }

  /** RFC 3264 §8: the version rises when, and only when, something has changed. */
  #text(write: (local: LocalAudio) => string): string {
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
