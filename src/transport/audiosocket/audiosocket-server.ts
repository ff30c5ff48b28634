/** Asterisk's AudioSocket: a TCP port, one call a connection. A connection is audiosocket-call.ts. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { AudioSource } from "../../core/audio-source.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { ClosesOnce } from "../../core/lifecycle.ts";
import { OpenConnections } from "../../core/open-connections.ts";
import { AudioSocketCall, type AudioSocketCounts } from "./audiosocket-call.ts";

/** How often connections are looked at, ms. */
const TICK_MS = 1_000;
/** A connection says at once which call it is: ms. */
const UUID_TIMEOUT_MS = 5_000;
/** ms that Asterisk gets to close its end. */
const CLOSE_GRACE_MS = 1_000;

export interface AudioSocketCallInfo {
  /** As the dialplan gave it, lower case. */
  readonly uuid: string;
  /** Address that the connection came from. */
  readonly remoteHost: string;
}

export interface AudioSocketServerOptions {
  /**
   * A call has come. Up to 5 s of its audio are kept until `source.packets` is subscribed. Throw to refuse it: Asterisk
   * is told to hang up, which hands the channel back to the dialplan.
   */
  readonly onCall: (source: AudioSource, call: AudioSocketCallInfo) => void | Promise<void>;
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** 0–65535, default 9092; 0 takes a free one. */
  readonly port?: number;
  /** Connections at once; one more is closed. 1–10,000, default 500. */
  readonly maxCalls?: number;
  /** ms without a frame after which a call has left. 1,000–600,000, default 30,000. */
  readonly inactivityMs?: number;
  readonly clock?: Clock;
  /** Told why a call was refused, with the address it came from, and of defects. */
  readonly onError?: (error: TonetapError, remoteHost?: string) => void;
}

export interface AudioSocketStats extends Readonly<AudioSocketCounts> {
  /** Connections now. */
  readonly calls: number;
  /** Connections let in since construction, and turned away at the limit or by `onCall`. */
  readonly accepted: number;
  readonly refused: number;
}

/** `close()` hangs up every call, waits a second for Asterisk to close, cuts off the rest. */
export class AudioSocketServer extends ClosesOnce {
  /** Where it listens. */
  readonly address: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #options: AudioSocketServerOptions;
  readonly #clock: Clock;
  readonly #maxCalls: number;
  readonly #inactivityMs: number;
  readonly #calls = new OpenConnections<Socket, AudioSocketCall>();
  readonly #counts: AudioSocketCounts = { frames: 0, malformed: 0, closedAbusive: 0, closedSilent: 0 };
  readonly #stopTicking: () => void;
  #accepted = 0;
  #refused = 0;

  /** Takes over a listening server. Use {@link createAudioSocketServer}. */
  constructor(server: Server, options: AudioSocketServerOptions) {
    super();
    const { address, port } = server.address() as AddressInfo;
    this.address = { host: address, port };
    this.#server = server;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#maxCalls = options.maxCalls ?? 500;
    this.#inactivityMs = options.inactivityMs ?? 30_000;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("error", (error) => options.onError?.(TonetapError.from(error, "unavailable", "AudioSocket")));
    this.#stopTicking = this.#clock.repeat(TICK_MS, () => this.#tick());
  }

  get stats(): AudioSocketStats {
    return { ...this.#counts, calls: this.#calls.size, accepted: this.#accepted, refused: this.#refused };
  }

  protected async release(): Promise<void> {
    this.#stopTicking();
    const gone = this.#calls.dismiss(this.#clock, {
      graceMs: CLOSE_GRACE_MS,
      goodbye: (call) => call.hangUp(),
      cutOff: (socket) => socket.destroy(),
    });
    // The callback's error says only that it never listened.
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await gone;
  }

  #accept(socket: Socket): void {
    const remoteHost = socket.remoteAddress ?? "";
    if (this.#calls.size >= this.#maxCalls || this.closing) {
      this.#refused++;
      socket.destroy();
      if (this.closing) return;
      const full = new TonetapError("overloaded", `all ${this.#maxCalls} AudioSocket calls are taken`);
      this.#options.onError?.(full, remoteHost);
      return;
    }
    this.#accepted++;
    const call = new AudioSocketCall({
      socket,
      clock: this.#clock,
      counts: this.#counts,
      onUuid: async (uuid, source) => {
        try {
          await this.#options.onCall(source, { uuid, remoteHost });
        } catch (error) {
          this.#refused++;
          this.#options.onError?.(TonetapError.from(error), remoteHost);
          throw error;
        }
      },
    });
    this.#calls.add(socket, call);
    socket.on("close", () => this.#calls.remove(socket));
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const [socket, call] of this.#calls) {
      const allowedMs = call.isNamed ? this.#inactivityMs : UUID_TIMEOUT_MS;
      if (now - (call.endingSinceMs ?? now) >= CLOSE_GRACE_MS) socket.destroy();
      else if (now - call.heardMs >= allowedMs) call.timeOut();
    }
  }
}

/**
 * Listens for calls.
 * @throws TonetapError invalid-argument for options out of range, unavailable when the port cannot be had
 */
export async function createAudioSocketServer(options: AudioSocketServerOptions): Promise<AudioSocketServer> {
  const { host = "127.0.0.1", port = 9_092, maxCalls = 500, inactivityMs = 30_000 } = options;
  assertRange("audioSocket port", port, 0, 65_535);
  assertRange("audioSocket maxCalls", maxCalls, 1, 10_000);
  assertRange("audioSocket inactivityMs", inactivityMs, 1_000, 600_000, "ms");
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (error) {
    throw TonetapError.from(error, "unavailable", `AudioSocket port ${host}:${port}`);
  }
  return new AudioSocketServer(server, options);
}
