/** What a dialect (Twilio, AudioHook, Jitsi) and the socket beneath it are to each other. */
import type { IncomingHttpHeaders } from "node:http";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { Clock } from "../../core/clock.ts";
import type { TonetapError } from "../../core/errors.ts";

export const MEDIA_DIALECTS = ["twilio", "audiohook", "jitsi"] as const;

export type MediaDialectName = (typeof MEDIA_DIALECTS)[number];

/** RFC 6455 §7.4.1. */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  unsupported: 1003,
  policy: 1008,
  tryLater: 1013,
} as const;

/** A connection, as its dialect sees it. */
export interface MediaLink {
  readonly clock: Clock;
  /** Names what the peer does not name. */
  readonly id: string;
  /** Who may be speaking, as the URL says: see participant-parameters.ts. */
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** False where a token is still owed: the URL and the headers had none. */
  readonly isAuthorized: boolean;
  /** Whether this token may send media. */
  authorize(token: string | undefined): Promise<boolean>;
  /** Hands a voice to its owner. @returns why it was refused, undefined if it was not. Never rejects. */
  attach(source: AudioSource, participant: ParticipantInfo): Promise<TonetapError | undefined>;
  send(message: string): void;
  /** The peer has said who it is: it has no longer to hurry. */
  started(): void;
  /** Goodbye was said as the dialect has it: a peer that is still there after the grace time is cut off. */
  expectEnd(): void;
  /** Begins the closing handshake. `reason` is cut to the 123 bytes that it may have. */
  close(code: number, reason: string): void;
}

/** What a dialect does on one connection. Each method is synchronous. */
export interface MediaSession {
  /** A text message. @throws TonetapError protocol for one that is not understood: it is counted, too many end the connection. */
  text(message: string): void;
  /** A binary message; memory is the receiver's. @throws TonetapError as text() */
  binary(data: Buffer): void;
  /** About once a second. */
  tick?(): void;
  /** The service stops: say goodbye as the dialect has it, if it has anything but closing. */
  stop?(): void;
  /** The socket is gone, or its peer not heard of any more. */
  ended(timedOut: boolean): void;
}

export type MediaDialect = (link: MediaLink) => MediaSession;
