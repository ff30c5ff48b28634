/** Audio files as sources, as fast as their driver lets them: on a virtual clock, with back-pressure. Decoding is audio-file.ts. */
import { setImmediate } from "node:timers/promises";
import { type Observable, Subject } from "rxjs";
import type { AudioSource } from "../../core/audio-source.ts";
import type { PcmUnit } from "../../core/media.ts";
import { type CodecMap, OPUS, type RtpPacket } from "../../core/rtp.ts";
import { type MonotonicMs, monotonicMs, PIPELINE_RATE_HZ, sampleIndex } from "../../core/units.ts";
import type { VirtualClock } from "../../core/virtual-clock.ts";
import { type AudioFileOptions, decodeTo16k } from "./audio-file.ts";
import { OPUS_FRAME_MS, type OpusEncoderOptions, OpusRtpEncoder } from "./opus-rtp-encoder.ts";

const FRAME_SAMPLES = (PIPELINE_RATE_HZ * OPUS_FRAME_MS) / 1000;
const PAYLOAD_TYPE = 111;
/** Frames between two looks at the event loop: one second's, which takes a few ms. */
const FRAMES_A_TURN = 50;

export interface FilePlayOptions extends AudioFileOptions {
  /** Moved by play(): audio arrives when its last sample would have been spoken. Give the chain this clock. */
  readonly clock: VirtualClock;
  /** Called after every 20 ms. Whoever cannot take more returns a promise; playing goes on when it resolves. */
  readonly ready?: () => Promise<void> | undefined;
}

/** A file as a peer would send it: Opus in RTP, 20 ms a packet, no loss. */
export class FileSource implements AudioSource {
  readonly kind = "file";
  readonly codecs: CodecMap = new Map([[PAYLOAD_TYPE, OPUS]]);
  /** Subscribe before play(). Completes at the end of the file, damaged or not. */
  readonly packets: Observable<RtpPacket>;
  readonly #packets = new Subject<RtpPacket>();
  readonly #input: string | Uint8Array;
  readonly #options: FilePlayOptions & Omit<OpusEncoderOptions, "inputRateHz">;
  readonly #stop = new AbortController();

  /** @param input a path, or the file's bytes. */
  constructor(
    input: string | Uint8Array,
    options: FilePlayOptions & Omit<OpusEncoderOptions, "inputRateHz">,
  ) {
    this.#input = input;
    this.#options = options;
    this.packets = this.#packets.asObservable();
  }

  /**
   * Plays the file, once; resolves when all is emitted or the source is closed.
   * @throws TonetapError as decodeAudioFile(), after what could be decoded was emitted.
   */
  async play(): Promise<void> {
    using encoder = await OpusRtpEncoder.create({
      ...this.#options,
      inputRateHz: PIPELINE_RATE_HZ,
      payloadType: PAYLOAD_TYPE,
    });
    const padded = new Float32Array(FRAME_SAMPLES);
    try {
      await playFrames(this.#input, this.#options, this.#stop.signal, (frame, arrivalMs) => {
        padded.fill(0, frame.length);
        padded.set(frame);
        const packet = encoder.encode(padded, arrivalMs);
        if (packet !== undefined) this.#packets.next(packet);
      });
    } finally {
      this.#packets.complete();
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#packets.complete();
  }
}

/** A file as PCM, past codec and jitter buffer: what the model makes of it without the loss of Opus. */
export class FilePcm {
  /** Subscribe before play(). A `reset`, then 20 ms a unit; completes at the end of the file, damaged or not. */
  readonly pcm: Observable<PcmUnit>;
  readonly #pcm = new Subject<PcmUnit>();
  readonly #input: string | Uint8Array;
  readonly #options: FilePlayOptions;
  readonly #stop = new AbortController();

  /** @param input a path, or the file's bytes. */
  constructor(input: string | Uint8Array, options: FilePlayOptions) {
    this.#input = input;
    this.#options = options;
    this.pcm = this.#pcm.asObservable();
  }

  /** As {@link FileSource.play}. */
  async play(): Promise<void> {
    let position = 0;
    const arrivalMs = this.#options.clock.now();
    this.#pcm.next({ kind: "reset", reason: "start", start: sampleIndex(0), arrivalMs });
    try {
      await playFrames(this.#input, this.#options, this.#stop.signal, (samples, arrivalMs) => {
        const start = sampleIndex(position);
        position += samples.length;
        this.#pcm.next({ kind: "pcm", samples, start, origin: "decoded", arrivalMs });
      });
    } finally {
      this.#pcm.complete();
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#pcm.complete();
  }
}

/** @param take gets 20 ms at a time, at the end less; borrowed until it returns. */
async function playFrames(
  input: string | Uint8Array,
  options: FilePlayOptions,
  stop: AbortSignal,
  take: (frame: Float32Array, arrivalMs: MonotonicMs) => void,
): Promise<void> {
  const { clock, ready } = options;
  const beginMs = clock.now();
  let count = 0;
  const play = async (frame: Float32Array): Promise<void> => {
    const arrivalMs = monotonicMs(beginMs + ++count * OPUS_FRAME_MS);
    clock.advanceTo(arrivalMs);
    take(frame, arrivalMs);
    const wait = ready?.();
    if (wait !== undefined) await wait;
    // Silence makes nobody wait: let timers, sockets and other files have their turn all the same.
    else if (count % FRAMES_A_TURN === 0) await setImmediate();
  };
  const rest = new Float32Array(FRAME_SAMPLES);
  let held = 0;
  try {
    for await (const chunk of decodeTo16k(input, options)) {
      let at = 0;
      while (held + chunk.length - at >= FRAME_SAMPLES) {
        rest.set(chunk.subarray(at, at + FRAME_SAMPLES - held), held);
        at += FRAME_SAMPLES - held;
        held = 0;
        if (stop.aborted) return;
        await play(rest);
      }
      rest.set(chunk.subarray(at), held);
      held += chunk.length - at;
    }
  } finally {
    // A damaged file's last samples are as good as those before them.
    if (held > 0 && !stop.aborted) await play(rest.subarray(0, held));
  }
}
