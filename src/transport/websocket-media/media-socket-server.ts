/**
 * Media over WebSocket on a given HTTP server, one path a dialect: who may connect, and how many. A connection is
 * media-connection.ts. docs/websocket-media.md tells it to users.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import { answerOn, targetOf } from "../../core/bare-http.ts";
import type { Admit } from "../../core/caller.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { ClosesOnce } from "../../core/lifecycle.ts";
import { OpenConnections } from "../../core/open-connections.ts";
import { problemOf } from "../../core/problem.ts";
import { audiohookDialect } from "./audiohook-dialect.ts";
import { verifyAudioHookSignature } from "./audiohook-signature.ts";
import { jitsiDialect } from "./jitsi-dialect.ts";
import { type ConnectionCounts, type ConnectionLimits, MediaConnection } from "./media-connection.ts";
import type { MediaDialect, MediaDialectName } from "./media-session.ts";
import { twilioDialect } from "./twilio-dialect.ts";

/** How often connections are looked at, ms. */
const TICK_MS = 1_000;

/** Where each dialect is spoken. */
export const MEDIA_PATHS: Readonly<Record<MediaDialectName, string>> = {
  twilio: "/v1/media/twilio",
  audiohook: "/v1/media/audiohook",
  jitsi: "/v1/media/jitsi",
};

const DIALECTS: Readonly<Record<MediaDialectName, MediaDialect>> = {
  twilio: twilioDialect,
  audiohook: audiohookDialect,
  jitsi: jitsiDialect,
};

export interface MediaVoiceInfo {
  readonly dialect: MediaDialectName;
  readonly participant: ParticipantInfo;
}

export interface MediaSocketOptions {
  /**
   * A voice has come. Up to 5 s of it are kept until `source.packets` is subscribed. Throw a TonetapError to refuse it:
   * other voices of the connection go on, and a connection of which no voice is wanted is closed with the reason.
   */
  readonly onVoice: (source: AudioSource, voice: MediaVoiceInfo) => void | Promise<void>;
  /**
   * Says whether a token may send media: from `Authorization: Bearer`, else the query's `token`, else AudioHook's
   * `X-API-KEY`, else Media Streams' custom parameter `token`; undefined when none came. A function instead of true says who
   * its participants are in the service. Throw a TonetapError to refuse with its status. Default: everyone may.
   */
  readonly authorize?: (
    token: string | undefined,
    dialect: MediaDialectName,
  ) => boolean | Admit | Promise<boolean | Admit>;
  /** AudioHook API key → client secret in base64. If given, AudioHook requests must be signed with one of them. */
  readonly audiohookSecrets?: ReadonlyMap<string, string>;
  /** Throws a TonetapError to turn a request away before anything else, as a browser guard does. */
  readonly admit?: (request: IncomingMessage) => void;
  /** Told of every connection and every voice that was turned away, with the address it came from. */
  readonly onRefused?: (error: TonetapError, remoteAddress: string | undefined) => void;
  /** Connections at once; one more gets 503. 1–10,000, default 200. */
  readonly maxConnections?: number;
  /** Bytes of a message; a longer one closes with 1009. 1,024–1,048,576, default 65,536. */
  readonly maxMessageBytes?: number;
  /** Messages a second, ten times as many at once; who sends more is closed. 10–100,000, default 1,000. */
  readonly maxMessagesPerSecond?: number;
  /** ms without any sign of life after which a peer has left. 1,000–600,000, default 30,000. */
  readonly inactivityMs?: number;
  /** ms that a peer has to say who is speaking. 1,000–600,000, default 10,000. */
  readonly startTimeoutMs?: number;
  /** ms for goodbyes. 0–60,000, default 2,000. */
  readonly closeGraceMs?: number;
  readonly clock?: Clock;
}

export interface MediaSocketStats extends Readonly<ConnectionCounts> {
  /** Now. */
  readonly connections: number;
  /** Let in since construction, and turned away. */
  readonly accepted: number;
  readonly refused: number;
}

/** `close()` says goodbye to every peer, each in its dialect, waits for theirs, cuts off the rest. The HTTP server stays open. */
export class MediaSocketServer extends ClosesOnce {
  readonly #server: Server;
  readonly #options: MediaSocketOptions;
  readonly #limits: ConnectionLimits;
  readonly #maxConnections: number;
  readonly #clock: Clock;
  readonly #sockets: WebSocketServer;
  readonly #connections = new OpenConnections<WebSocket, MediaConnection>();
  /** Requests whose token is being looked at: they count. */
  #opening = 0;
  readonly #counts: ConnectionCounts = {
    messages: 0,
    malformed: 0,
    tooFast: 0,
    refusedVoices: 0,
    closedAbusive: 0,
    closedSlow: 0,
    closedSilent: 0,
  };
  readonly #stopTicking: () => void;
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    void this.#upgrade(request, socket, head);
  #accepted = 0;
  #refused = 0;

  /**
   * Listens to the server's upgrades of its own paths and leaves others alone.
   * @throws TonetapError invalid-argument
   */
  constructor(server: Server, options: MediaSocketOptions) {
    super();
    const limit = (name: string, value: number, min: number, max: number): number => {
      assertRange(`media ${name}`, value, min, max);
      return value;
    };
    this.#server = server;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#maxConnections = limit("maxConnections", options.maxConnections ?? 200, 1, 10_000);
    this.#limits = {
      maxMessagesPerSecond: limit("maxMessagesPerSecond", options.maxMessagesPerSecond ?? 1_000, 10, 100_000),
      inactivityMs: limit("inactivityMs", options.inactivityMs ?? 30_000, 1_000, 600_000),
      startTimeoutMs: limit("startTimeoutMs", options.startTimeoutMs ?? 10_000, 1_000, 600_000),
      closeGraceMs: limit("closeGraceMs", options.closeGraceMs ?? 2_000, 0, 60_000),
    };
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: limit("maxMessageBytes", options.maxMessageBytes ?? 65_536, 1_024, 1_048_576),
      autoPong: false,
      // Vendors that ask for a subprotocol ask for one of their own.
      handleProtocols: (offered) => offered.values().next().value ?? false,
    });
    this.#stopTicking = this.#clock.repeat(TICK_MS, () => {
      for (const connection of this.#connections.sessions()) connection.tick();
    });
    server.on("upgrade", this.#onUpgrade);
  }

  get stats(): MediaSocketStats {
    return {
      ...this.#counts,
      connections: this.#connections.size,
      accepted: this.#accepted,
      refused: this.#refused,
    };
  }

  /** Whether a path is one of its own. */
  serves(path: string): boolean {
    return dialectAt(path) !== undefined;
  }

  protected async release(): Promise<void> {
    this.#server.off("upgrade", this.#onUpgrade);
    this.#stopTicking();
    await this.#connections.dismiss(this.#clock, {
      graceMs: this.#limits.closeGraceMs,
      goodbye: (connection) => connection.stop(),
      cutOff: (socket) => socket.terminate(),
    });
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const target = targetOf(request);
    const dialect = target === undefined ? undefined : dialectAt(target.pathname);
    // Another listener's.
    if (target === undefined || dialect === undefined) return;
    // The peer may go while its token is looked at.
    socket.on("error", ignore);
    try {
      this.#options.admit?.(request);
      if (this.#connections.size + this.#opening >= this.#maxConnections) {
        throw new TonetapError("overloaded", `all ${this.#maxConnections} media connections are taken`);
      }
      const permission = await this.#permission(dialect, request, target.searchParams);
      if (this.closing) throw new TonetapError("closed", "the service is stopping");
      if (socket.destroyed) return;
      socket.off("error", ignore);
      this.#sockets.handleUpgrade(request, socket, head, (peer) =>
        this.#open(peer, dialect, request, target.searchParams, permission),
      );
    } catch (thrown) {
      const error = TonetapError.from(thrown);
      this.#refused++;
      this.#options.onRefused?.(error, request.socket.remoteAddress);
      answerOn(socket, problemOf(error));
    }
  }

  /** Undefined: the first message has to bring the token. @throws TonetapError unauthenticated */
  async #permission(
    dialect: MediaDialectName,
    request: IncomingMessage,
    query: URLSearchParams,
  ): Promise<Admit | undefined> {
    const { audiohookSecrets, authorize } = this.#options;
    if (dialect === "audiohook" && audiohookSecrets !== undefined) {
      const wrong = verifyAudioHookSignature(request, audiohookSecrets, this.#clock.wall());
      if (wrong !== undefined) throw new TonetapError("unauthenticated", wrong);
    }
    if (authorize === undefined) return AS_IT_SAYS;
    const token = tokenOf(request, query);
    if (token === undefined && dialect === "twilio") return undefined;
    this.#opening++;
    try {
      const answer = await authorize(token, dialect);
      if (answer === false) throw needsToken();
      return answer === true ? AS_IT_SAYS : answer;
    } finally {
      this.#opening--;
    }
  }

  #open(
    socket: WebSocket,
    dialect: MediaDialectName,
    { headers, socket: { remoteAddress } }: IncomingMessage,
    query: URLSearchParams,
    permission: Admit | undefined,
  ): void {
    const { authorize = () => true, onVoice, onRefused } = this.#options;
    let admit = permission;
    socket.on("error", () => {
      // RFC 6455 violations and messages too long: ws answers with the right close code and closes.
      this.#counts.malformed++;
    });
    let connection: MediaConnection;
    try {
      connection = new MediaConnection({
        socket,
        dialect: DIALECTS[dialect],
        limits: this.#limits,
        counts: this.#counts,
        clock: this.#clock,
        id: randomUUID(),
        query,
        headers,
        isAuthorized: permission !== undefined,
        authorize: async (token) => {
          try {
            const answer = await authorize(token, dialect);
            admit = answer === true ? AS_IT_SAYS : answer || undefined;
          } catch {
            // Whatever was wrong with it: the peer hears that it needs a valid one.
            admit = undefined;
          }
          if (admit === undefined) onRefused?.(needsToken(), remoteAddress);
          return admit !== undefined;
        },
        onVoice: async (source, participant) => {
          try {
            if (admit === undefined) throw needsToken();
            await onVoice(source, { dialect, participant: admit(participant) });
          } catch (error) {
            onRefused?.(TonetapError.from(error), remoteAddress);
            throw error;
          }
        },
      });
    } catch (error) {
      this.#refused++;
      socket.close(1008, TonetapError.from(error).message.slice(0, 100));
      return;
    }
    this.#accepted++;
    this.#connections.add(socket, connection);
    socket.on("message", (data, isBinary) => connection.message(data as Buffer, isBinary));
    socket.on("ping", (data) => connection.pinged(data));
    socket.on("pong", () => connection.heard());
    socket.on("close", () => {
      connection.ended();
      this.#connections.remove(socket);
    });
  }
}

const AS_IT_SAYS: Admit = (participant) => participant;

const needsToken = (): TonetapError => new TonetapError("unauthenticated", "a valid token is needed");

const ignore = (): void => undefined;

function dialectAt(path: string): MediaDialectName | undefined {
  const clean = path.replace(/\/$/, "");
  for (const [name, own] of Object.entries(MEDIA_PATHS)) {
    if (clean === own) return name as MediaDialectName;
  }
  return undefined;
}

/** RFC 6750 §2.1, §2.3. */
function tokenOf({ headers }: IncomingMessage, query: URLSearchParams): string | undefined {
  const bearer = /^bearer +([\w.~+/-]+=*)$/i.exec(headers.authorization ?? "")?.[1];
  const key = headers["x-api-key"];
  return bearer ?? query.get("token") ?? (typeof key === "string" ? key : undefined);
}
