/**
 * One media connection: its limits and its signs of life, whatever the dialect. Letting it in is
 * media-socket-server.ts, what is said on it the dialects.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { RateLimit } from "../../core/rate-limit.ts";
import { CLOSE, type MediaDialect, type MediaLink, type MediaSession } from "./media-session.ts";

/** Messages in a row that are not understood before a peer is closed. */
const MAX_ERRORS = 8;
/** Bytes of answers that may wait for a peer that does not read. */
const MAX_UNREAD_BYTES = 65_536;
/** RFC 6455 §5.5: a control frame has 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

/** What a connection needs of a `ws` socket. */
export interface MediaSocket {
  readonly bufferedAmount: number;
  send(data: string): void;
  ping(): void;
  pong(data: Buffer): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface ConnectionLimits {
  readonly maxMessagesPerSecond: number;
  readonly inactivityMs: number;
  readonly startTimeoutMs: number;
  readonly closeGraceMs: number;
}

/** What became of connections and their messages, counted since the server was made. */
export interface ConnectionCounts {
  /** Messages taken. */
  messages: number;
  /** Messages that were not understood. */
  malformed: number;
  /** Messages that came too fast. */
  tooFast: number;
  /** Voices that their owner would not take. */
  refusedVoices: number;
  /** Connections closed for sending nonsense, or too fast. */
  closedAbusive: number;
  /** Connections cut because the peer did not read. */
  closedSlow: number;
  /** Connections cut because the peer was not heard of, or did not say who it is. */
  closedSilent: number;
}

export interface ConnectionParts {
  readonly socket: MediaSocket;
  readonly dialect: MediaDialect;
  readonly limits: ConnectionLimits;
  readonly counts: ConnectionCounts;
  readonly clock: Clock;
  readonly id: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly isAuthorized: boolean;
  readonly authorize: (token: string | undefined) => Promise<boolean>;
  readonly onVoice: (source: AudioSource, participant: ParticipantInfo) => void | Promise<void>;
}

export class MediaConnection implements MediaLink {
  readonly clock: Clock;
  readonly id: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly isAuthorized: boolean;
  readonly authorize: (token: string | undefined) => Promise<boolean>;
  readonly #parts: ConnectionParts;
  readonly #session: MediaSession;
  readonly #rate: RateLimit;
  readonly #openedMs: number;
  #started = false;
  #heardMs: number;
  #pingedMs: number;
  #errors = 0;
  /** Since when the end is waited for. */
  #endingSinceMs: number | undefined;
  #closed = false;

  /** @throws TonetapError invalid-argument when the URL's query is not right */
  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.id = parts.id;
    this.query = parts.query;
    this.headers = parts.headers;
    this.isAuthorized = parts.isAuthorized;
    this.authorize = parts.authorize;
    this.#rate = new RateLimit(parts.clock, parts.limits.maxMessagesPerSecond);
    this.#openedMs = parts.clock.now();
    this.#heardMs = this.#openedMs;
    this.#pingedMs = this.#openedMs;
    this.#session = parts.dialect(this);
  }

  message(data: Buffer, isBinary: boolean): void {
    if (this.#closed) return;
    const { counts } = this.#parts;
    this.heard();
    counts.messages++;
    if (!this.#rate.take()) {
      counts.tooFast++;
      counts.closedAbusive++;
      this.close(CLOSE.policy, `at most ${this.#parts.limits.maxMessagesPerSecond} messages a second`);
      return;
    }
    try {
      if (isBinary) this.#session.binary(data);
      else this.#session.text(data.toString());
      this.#errors = 0;
    } catch (thrown) {
      const { message } = TonetapError.from(thrown);
      counts.malformed++;
      if (++this.#errors < MAX_ERRORS) return;
      counts.closedAbusive++;
      this.close(CLOSE.policy, `${MAX_ERRORS} messages in a row were not understood, the last: ${message}`);
    }
  }

  /** Something came that shows the peer alive. */
  heard(): void {
    this.#heardMs = this.clock.now();
  }

  /** A peer that pings and does not read gets no pongs: nothing of ours may pile up. */
  pinged(data: Buffer): void {
    this.heard();
    const { socket } = this.#parts;
    if (socket.bufferedAmount < MAX_UNREAD_BYTES) socket.pong(data);
  }

  /** Called about once a second. */
  tick(): void {
    const { socket, limits, counts } = this.#parts;
    const now = this.clock.now();
    if (this.#endingSinceMs !== undefined) {
      if (now - this.#endingSinceMs >= limits.closeGraceMs) socket.terminate();
      return;
    }
    const silentMs = now - this.#heardMs;
    if (silentMs >= limits.inactivityMs) {
      counts.closedSilent++;
      this.#end(true);
      socket.terminate();
    } else if (!this.#started && now - this.#openedMs >= limits.startTimeoutMs) {
      counts.closedSilent++;
      this.close(CLOSE.policy, `nothing said who is speaking within ${limits.startTimeoutMs} ms`);
    } else {
      // A peer without media (a conference where nobody speaks) is alive if it answers.
      if (silentMs >= limits.inactivityMs / 2 && now - this.#pingedMs >= limits.inactivityMs / 2) {
        this.#pingedMs = now;
        socket.ping();
      }
      this.#session.tick?.();
    }
  }

  /** The service stops. */
  stop(): void {
    if (this.#endingSinceMs !== undefined) return;
    if (this.#session.stop === undefined) this.close(CLOSE.goingAway, "the service is stopping");
    else {
      this.#session.stop();
      this.expectEnd();
    }
  }

  /** The socket is gone. */
  ended(): void {
    this.#end(false);
  }

  async attach(source: AudioSource, participant: ParticipantInfo): Promise<TonetapError | undefined> {
    try {
      await this.#parts.onVoice(source, participant);
      return undefined;
    } catch (error) {
      this.#parts.counts.refusedVoices++;
      return TonetapError.from(error);
    }
  }

  send(message: string): void {
    const { socket, counts } = this.#parts;
    if (this.#closed) return;
    if (socket.bufferedAmount < MAX_UNREAD_BYTES) {
      socket.send(message);
      return;
    }
    counts.closedSlow++;
    this.#end(false);
    socket.terminate();
  }

  started(): void {
    this.#started = true;
  }

  expectEnd(): void {
    this.#endingSinceMs ??= this.clock.now();
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.expectEnd();
    this.#end(false);
    this.#parts.socket.close(code, cut(reason));
  }

  #end(timedOut: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session.ended(timedOut);
  }
}

/** At a character's boundary. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= MAX_REASON_BYTES) return reason;
  return bytes
    .subarray(0, MAX_REASON_BYTES - 3)
    .toString()
    .replace(/\uFFFD$/, "")
    .concat("…");
}
