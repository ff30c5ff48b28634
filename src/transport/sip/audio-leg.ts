/** One audio stream of a call: its port, its keys, how long it may be silent, and what offers and answers have agreed for it. */
import { isIPv6 } from "node:net";
import type { Clock } from "../../core/clock.ts";
import type { CodecMap } from "../../core/rtp.ts";
import { MediaKeys } from "./media-keys.ts";
import type { RtpPorts } from "./rtp-ports.ts";
import { type LocalMedia, OFFERED_CODECS, type RemoteAudio, type SrtpPolicy } from "./sdp.ts";
import type { MediaPeer, SipReception } from "./sip-reception.ts";
import { type Refusal, refusal } from "./sip-request.ts";

const NO_MORE_CODECS: CodecMap = new Map();

export interface MediaSettings {
  readonly clock: Clock;
  readonly ports: RtpPorts;
  /** The address that peers are told. */
  readonly announcedHost: string;
  readonly mediaPeer: MediaPeer;
  readonly srtp: SrtpPolicy;
  /** ms without a packet after which a leg counts as dead, and as much on hold. */
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
  readonly source: SipReception;
  readonly #settings: MediaSettings;
  readonly #options: AudioLegOptions;
  readonly #keys = new MediaKeys();
  #onHold = false;
  /** Of the latest offer and answer. */
  #agreedMs: number;
  #cancelTimer: () => void = () => undefined;

  private constructor(settings: MediaSettings, source: SipReception, options: AudioLegOptions) {
    this.#settings = settings;
    this.source = source;
    this.#options = options;
    this.#agreedMs = settings.clock.now();
    this.#armTimer();
  }

  /** @throws TonetapError overloaded, unavailable when there is no port. */
  static async open(settings: MediaSettings, options: AudioLegOptions): Promise<AudioLeg> {
    const { mediaPeer, ports } = settings;
    const { rtcpMux, signallingHost } = options;
    const rtcp = rtcpMux ? "same-port" : "next-port";
    let leg: AudioLeg | undefined;
    const source = await ports.open({ rtcp, mediaPeer, signallingHost }, () => {
      if (leg !== undefined) leg.#end();
    });
    leg = new AudioLeg(settings, source, options);
    // It may have ended before there was anybody to tell.
    if (source.closed) leg.#end();
    return leg;
  }

  /** The peer has put it on hold. */
  get onHold(): boolean {
    return this.#onHold;
  }

  /** ms that are left before it counts as dead. */
  get patienceMs(): number {
    const { clock, inactivityMs, holdMs } = this.#settings;
    const lastMs = Math.max(this.source.lastHeardMs, this.#agreedMs);
    return lastMs + (this.#onHold ? holdMs : inactivityMs) - clock.now();
  }

  /** What is protected is not sent in the clear again. */
  allows(remote: RemoteAudio): Refusal | undefined {
    if (remote.crypto !== undefined || !this.#keys.secured) return undefined;
    return refusal(488, "this call is protected by SRTP: its media cannot be offered in the clear");
  }

  /** Agrees to an offer; gives what the answer says, once that is so. */
  async answer(remote: RemoteAudio): Promise<LocalMedia> {
    const crypto = this.#keys.answer(remote.crypto);
    await this.#agree(remote, remote.codecs);
    return { port: this.source.address.port, crypto };
  }

  /** What we would take, for a peer that asks. */
  offer(): LocalMedia {
    const crypto = this.#settings.srtp === "required" || this.#keys.secured ? this.#keys.offer() : [];
    return { port: this.source.address.port, crypto };
  }

  /**
   * The peer has answered our offer: it sends with the payload types that we named (RFC 3264 §5.1).
   * @returns false if that is no answer to what was offered
   */
  answered(remote: RemoteAudio): boolean {
    if (!this.#keys.answered(remote.crypto)) return false;
    this.#agreeOrEnd(remote, OFFERED_CODECS);
    return true;
  }

  /** The peer has answered what we said last: it may have moved, have a new key, or hold the call. */
  confirmed(remote: RemoteAudio): void {
    if (this.#keys.answered(remote.crypto)) this.#agreeOrEnd(remote, NO_MORE_CODECS);
  }

  /** Nobody waits for it: where it fails there is no call. */
  #agreeOrEnd(remote: RemoteAudio, codecs: CodecMap): void {
    this.#agree(remote, codecs).catch(() => void this.source.close());
  }

  #agree(remote: RemoteAudio, codecs: CodecMap): Promise<void> {
    const { host, port } = remote;
    this.#onHold = isHold(remote);
    this.#agreedMs = this.#settings.clock.now();
    this.#armTimer();
    const key = this.#keys.takeNew();
    return this.source.agree({ announced: { host, port }, codecs, onHold: this.#onHold, key });
  }

  #end(): void {
    this.#cancelTimer();
    this.#options.onEnd();
    this.#settings.ports.release(this.source);
  }

  #armTimer(): void {
    this.#cancelTimer();
    if (this.source.closed) return;
    this.#cancelTimer = this.#settings.clock.schedule(this.#timerMs(), () => this.#checkActivity());
  }

  /** One timer a leg, looking whether there was a packet instead of moving with each. */
  #checkActivity(): void {
    if (this.#timerMs() > 0) this.#armTimer();
    else void this.source.expire();
  }

  #timerMs(): number {
    return Math.max(this.patienceMs, this.#options.othersPatienceMs?.() ?? 0);
  }
}

/**
 * The peer has stopped sending. `sendonly` is no hold here: the answer was `recvonly`, so that it is what a peer says when it
 * merely repeats what was agreed (RFC 3264 §8.4 has a stream that is sent only put on hold by `inactive`).
 */
const isHold = ({ direction, blackHole }: RemoteAudio): boolean =>
  blackHole || direction === "recvonly" || direction === "inactive";
