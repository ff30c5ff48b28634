/**
 * The seam between a call's signalling and its audio, which may be received on another thread: what a leg asks of it. On
 * this thread it is sip-source.ts.
 */
import type { AudioSource } from "../../core/audio-source.ts";
import type { CodecMap } from "../../core/rtp.ts";
import type { LineSignals } from "../line-signals.ts";
import type { SrtpMasterKey } from "../srtp/index.ts";
import type { UdpAddress } from "../udp-rtp-port.ts";

/**
 * Whose media a leg takes.
 * - `signalled`: from the host that the SDP names, or the host that the signalling comes from, whatever the port (so
 *   that NAT and symmetric RTP work). The address that the SDP names exactly has precedence.
 * - `any`: the first sender of an agreed payload type; for media relays that send from elsewhere.
 */
export type MediaPeer = "signalled" | "any";

/** What a leg's audio is received with: plain data, which survives structured cloning. */
export interface SipReceptionOptions {
  /** IP address to listen on. */
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
  readonly rtcp: "same-port" | "next-port";
  readonly mediaPeer: MediaPeer;
  /** Where the signalling comes from. */
  readonly signallingHost: string;
}

/** What an offer and its answer say of the audio: plain data as well. */
export interface SipAgreement {
  /** Where the peer says that its media comes from; a name if it gave one. */
  readonly announced: UdpAddress;
  /** They join those that were agreed on before. */
  readonly codecs: CodecMap;
  /** The peer has put the leg on hold: nothing is passed on. */
  readonly onHold: boolean;
  /** A new key of the peer's: from here on its media is protected with that. */
  readonly key?: SrtpMasterKey | undefined;
}

/** One leg's audio: an AudioSource that listens where the SDP said, to whom the SDP named, until the call ends. */
export interface SipReception extends AudioSource {
  readonly kind: "sip";
  /** Where it listens for RTP. */
  readonly address: UdpAddress;
  /** It has ended, or is about to. */
  readonly closed: boolean;
  readonly timedOut: boolean;
  /** When its peer was last heard, by RTP or RTCP, ms of the clock's now(); 0 before. */
  readonly lastHeardMs: number;
  /** What its signalling says of consent, and keys that came there. */
  readonly line: LineSignals;
  /** At first and after each later offer and answer. Resolves when it is in force: who answers an offer waits for it. */
  agree(agreement: SipAgreement): Promise<void>;
  /** Closes it because the peer has gone without a word. */
  expire(): Promise<void>;
  /**
   * One voice in it, for as long as that speaks there. The reception goes on without.
   * @param onClosed it was closed before its reception ended. Runs at most once.
   */
  voice(onClosed: () => void): Promise<SipVoice>;
}

/** One voice of a recording: what comes in at a stream's port while that voice speaks there. */
export interface SipVoice extends AudioSource {
  readonly kind: "siprec";
  readonly closed: boolean;
  readonly line: LineSignals;
  /** What comes is nobody's voice: it is dropped and counted. */
  held: boolean;
}

/**
 * Opens a port and receives there.
 * @param onEnd called once, when it has ended for whatever reason, maybe before the promise has resolved
 * @throws TonetapError unavailable when the port cannot be had
 */
export type OpenSipReception = (options: SipReceptionOptions, onEnd: () => void) => Promise<SipReception>;
