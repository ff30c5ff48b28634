/** One AudioSocket connection: its UUID, its audio as an AudioSource, its end. Listening is audiosocket-server.ts. */
import type { Socket } from "node:net";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { telephoneKey } from "../../core/line-signal.ts";
import { RateLimit } from "../../core/rate-limit.ts";
import { type AudioCodec, l16 } from "../../core/rtp.ts";
import { MessageSource, slinToL16 } from "../message-source.ts";
import {
  AudioSocketFramer,
  audioSocketFrame,
  FRAME,
  MAX_PAYLOAD_BYTES,
  slinRateHz,
  uuidText,
} from "./audiosocket-framer.ts";

/** RTP payload types are ours to choose: 96 is 8 kHz, 97 is 12 kHz, … */
const FIRST_PAYLOAD_TYPE = 96;
const FIRST_AUDIO_TYPE = 0x10;
/** Asterisk's error bits: the caller has hung up; a frame could not be forwarded; no memory. */
const ERROR_HANGUP = 0x01;
/** Packets a second of one voice: Asterisk's frames of audio are the 20 ms that they become here. */
const PACKETS_PER_S = 50;
/** Frames a second, ten times as many at once, before a peer counts as abusive. */
const MAX_FRAMES_PER_S = 1_000;
/** Frames in a row that mean nothing before a peer is cut off. */
const MAX_ERRORS = 8;

const CODECS: ReadonlyMap<number, AudioCodec> = new Map(
  Array.from({ length: 9 }, (_, i) => [FIRST_PAYLOAD_TYPE + i, l16(slinRateHz(FIRST_AUDIO_TYPE + i) ?? 0)]),
);

/** What became of frames and calls, counted since the server was made. */
export interface AudioSocketCounts {
  frames: number;
  /** Frames of no known type or no right length. */
  malformed: number;
  /** Connections cut for sending nonsense, or too fast. */
  closedAbusive: number;
  /** Connections cut because nothing came, or no UUID. */
  closedSilent: number;
}

export interface CallParts {
  readonly socket: Socket;
  readonly clock: Clock;
  readonly counts: AudioSocketCounts;
  /** The first frame has said which call this is: take the source or throw. */
  readonly onUuid: (uuid: string, source: MessageSource) => Promise<void>;
}

export class AudioSocketCall {
  readonly #parts: CallParts;
  readonly #framer = new AudioSocketFramer();
  readonly #rate: RateLimit;
  readonly #source: MessageSource;
  #uuid: string | undefined;
  #heardMs: number;
  #endingSinceMs: number | undefined;
  #errors = 0;
  #packets = 0;
  /** Samples of the current type since it began. */
  #ticks = 0;
  #type = 0;

  constructor(parts: CallParts) {
    this.#parts = parts;
    this.#rate = new RateLimit(parts.clock, MAX_FRAMES_PER_S);
    this.#heardMs = parts.clock.now();
    this.#source = new MessageSource({
      clock: parts.clock,
      kind: "audiosocket",
      codecs: CODECS,
      onClose: () => this.hangUp(),
    });
    parts.socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // A torn connection and one that is closed are the same to the call: its peer is gone.
    parts.socket.on("error", () => this.#source.end());
    parts.socket.on("close", () => this.#source.end());
    parts.socket.on("end", () => this.#goodbye(Buffer.alloc(0)));
  }

  /** Whether the first frame has named the call. */
  get isNamed(): boolean {
    return this.#uuid !== undefined;
  }

  /** Since when nothing has come. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Since when the peer should be gone. */
  get endingSinceMs(): number | undefined {
    return this.#endingSinceMs;
  }

  /** Tells Asterisk to take the call back, and ends the source. */
  hangUp(): void {
    this.#source.end();
    this.#goodbye(audioSocketFrame(FRAME.hangup));
  }

  /** Nothing has come for too long. */
  timeOut(): void {
    this.#parts.counts.closedSilent++;
    this.#source.end(true);
    this.#parts.socket.destroy();
  }

  #goodbye(frame: Buffer): void {
    const { socket, clock } = this.#parts;
    if (this.#endingSinceMs !== undefined || socket.destroyed) return;
    this.#endingSinceMs = clock.now();
    socket.end(frame);
  }

  #read(chunk: Buffer): void {
    const { socket, clock, counts } = this.#parts;
    this.#heardMs = clock.now();
    const isReadable = this.#framer.push(chunk, (type, payload) => {
      if (socket.destroyed || this.#source.ended) return false;
      counts.frames++;
      if (!this.#rate.take()) {
        this.#cutOff(`more than ${MAX_FRAMES_PER_S} frames a second`);
        return false;
      }
      const fault = this.#frame(type, payload);
      if (fault === undefined) {
        this.#errors = 0;
        return true;
      }
      counts.malformed++;
      // Before the UUID nothing else has a meaning: whoever this is does not speak AudioSocket.
      if (this.isNamed && ++this.#errors < MAX_ERRORS) return true;
      this.#cutOff(fault);
      return false;
    });
    if (!isReadable) this.#cutOff(`a frame of more than ${MAX_PAYLOAD_BYTES} bytes`);
  }

  #cutOff(fault: string): void {
    const { socket, counts } = this.#parts;
    if (socket.destroyed) return;
    counts.closedAbusive++;
    this.#source.fail(new TonetapError("protocol", `AudioSocket: ${fault}`));
    socket.destroy();
  }

  /** @returns what is wrong with it */
  #frame(type: number, payload: Buffer): string | undefined {
    if (this.#uuid === undefined) return this.#begin(type, payload);
    switch (type) {
      case FRAME.hangup:
        this.hangUp();
        return undefined;
      case FRAME.error:
        this.#fail(payload[0] ?? 0);
        return undefined;
      case FRAME.dtmf:
        this.#key(payload);
        return undefined;
      // Silence is no audio.
      case FRAME.silence:
        return undefined;
      default:
        return this.#audio(type, payload);
    }
  }

  /** One character of ASCII, as Asterisk sends them. */
  #key(payload: Buffer): void {
    const key = telephoneKey(payload.toString("latin1"));
    if (key !== undefined) this.#source.line.tell({ kind: "key", key });
  }

  #begin(type: number, payload: Buffer): string | undefined {
    if (type !== FRAME.uuid || payload.length !== 16) return "the first frame must be a UUID of 16 bytes";
    this.#uuid = uuidText(payload);
    this.#parts.onUuid(this.#uuid, this.#source).catch(() => this.hangUp());
    return undefined;
  }

  #audio(type: number, payload: Buffer): string | undefined {
    const rateHz = slinRateHz(type);
    if (rateHz === undefined) return `there is no frame of type ${type}`;
    if (payload.length === 0 || payload.length % 2 !== 0) return `audio of ${payload.length} bytes`;
    if (type !== this.#type) {
      this.#type = type;
      this.#ticks = 0;
    }
    const payloadType = FIRST_PAYLOAD_TYPE + type - FIRST_AUDIO_TYPE;
    const pieceBytes = 2 * Math.ceil(rateHz / PACKETS_PER_S);
    for (let at = 0; at < payload.length; at += pieceBytes) {
      const piece = payload.subarray(at, at + pieceBytes);
      this.#source.take(payloadType, this.#packets++, this.#ticks, slinToL16(piece));
      this.#ticks += piece.length / 2;
    }
    return undefined;
  }

  #fail(code: number): void {
    if (code === ERROR_HANGUP) this.#source.end();
    else this.#source.fail(new TonetapError("unavailable", `AudioSocket: Asterisk reports error ${code}`));
    this.#goodbye(Buffer.alloc(0));
  }
}
