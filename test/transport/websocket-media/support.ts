/** A media server on a free loopback port, and vendors that talk to it as their pages say. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ClientOptions, WebSocket } from "ws";
import type { AudioSource, ParticipantInfo } from "../../../src/core/audio-source.ts";
import { type MediaSocketOptions, MediaSocketServer } from "../../../src/transport/websocket-media/index.ts";
import { type Listening, listening } from "../sip/listening.ts";

export interface Voice {
  readonly source: AudioSource;
  readonly participant: ParticipantInfo;
  readonly heard: Listening;
}

export interface MediaService extends AsyncDisposable {
  readonly media: MediaSocketServer;
  readonly voices: Voice[];
  /** Resolves when so many voices have come. */
  arrived(count: number): Promise<readonly Voice[]>;
  peer(path: string, options?: ClientOptions): Promise<Peer>;
  /** Resolves when no connection is left: a client hears of the end before the server does. */
  empty(): Promise<void>;
  readonly port: number;
}

/** @param admit may throw to refuse a voice */
export async function startMedia(
  options: Partial<MediaSocketOptions> & {
    readonly admitVoice?: (participant: ParticipantInfo) => void;
  } = {},
): Promise<MediaService> {
  const { admitVoice, ...rest } = options;
  const server = createServer((_, response) => response.writeHead(404).end());
  const voices: Voice[] = [];
  const waiting = new Set<() => void>();
  const media = new MediaSocketServer(server, {
    onVoice: async (source, { participant }) => {
      admitVoice?.(participant);
      // As the engine does it: a decoder is made first, and audio comes meanwhile.
      const heard = await listening();
      heard.listen(source);
      voices.push({ source, participant, heard });
      for (const look of waiting) look();
    },
    ...rest,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    media,
    voices,
    port,
    arrived: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (voices.length < count) return;
          waiting.delete(look);
          resolve(voices);
        };
        waiting.add(look);
        look();
      }),
    empty: async () => {
      while (media.stats.connections > 0) await new Promise((resolve) => setImmediate(resolve));
    },
    peer: (path, clientOptions = {}) => Peer.open(`ws://127.0.0.1:${port}${path}`, clientOptions),
    async [Symbol.asyncDispose]() {
      await media.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A WebSocket client that keeps what it hears. */
export class Peer {
  readonly socket: WebSocket;
  readonly messages: Readonly<Record<string, unknown>>[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => {
      this.messages.push(JSON.parse(String(data)));
      for (const look of this.#waiting) look();
    });
    this.closed = new Promise((resolve) =>
      socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() })),
    );
  }

  /** Rejects with `Unexpected server response: 401` when refused. */
  static async open(url: string, options: ClientOptions): Promise<Peer> {
    const socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    const peer = new Peer(socket);
    await once(socket, "open");
    return peer;
  }

  send(...messages: readonly unknown[]): void {
    for (const message of messages) this.socket.send(JSON.stringify(message));
  }

  /** Resolves with the next message. */
  async next(): Promise<void> {
    await once(this.socket, "message");
  }

  /** The first message of this type, past or future. */
  said(type: string): Promise<Readonly<Record<string, unknown>>> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.messages.find((message) => (message.type ?? message.event) === type);
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

export const STREAM_SID = "MZ18ad3ab5a668481ce02b83e7395059f0";
export const CALL_SID = "CA5a1ebd8dcc0ff4c2a2ea3fcbbdf3a1c4";

/** The examples of Twilio's page "Media Streams – WebSocket Messages", with tracks and parameters of one's own. */
export const twilio = {
  connected: { event: "connected", protocol: "Call", version: "1.0.0" },
  start: (
    customParameters: Readonly<Record<string, string>> = {},
    tracks: readonly string[] = ["inbound"],
    mediaFormat: unknown = { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
  ) => ({
    event: "start",
    sequenceNumber: "1",
    start: {
      accountSid: "AC00000000000000000000000000000000",
      streamSid: STREAM_SID,
      callSid: CALL_SID,
      tracks,
      mediaFormat,
      customParameters: { FirstName: "Jane", LastName: "Doe", RemoteParty: "Bob", ...customParameters },
    },
    streamSid: STREAM_SID,
  }),
  /** @param chunk from 1 */
  media: (track: string, chunk: number, payload: Uint8Array, timestampMs = (chunk - 1) * 20) => ({
    event: "media",
    sequenceNumber: String(chunk + 1),
    media: {
      track,
      chunk: String(chunk),
      timestamp: String(timestampMs),
      payload: Buffer.from(payload).toString("base64"),
    },
    streamSid: STREAM_SID,
  }),
  dtmf: {
    event: "dtmf",
    streamSid: STREAM_SID,
    sequenceNumber: "5",
    dtmf: { track: "inbound_track", digit: "1" },
  },
  mark: { event: "mark", sequenceNumber: "4", streamSid: STREAM_SID, mark: { name: "my label" } },
  stop: {
    event: "stop",
    sequenceNumber: "5",
    streamSid: STREAM_SID,
    stop: { accountSid: "AC00000000000000000000000000000000", callSid: CALL_SID },
  },
} as const;

/** One track's frames as its messages, in order, after so many others. */
export const trackMedia = (track: string, frames: readonly Uint8Array[], before = 0): unknown[] =>
  frames.map((frame, i) => twilio.media(track, before + i + 1, frame));

/** `bytes` in pieces of `size`. */
export const pieces = (bytes: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
