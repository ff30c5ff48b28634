/** Turns PCM into Opus payloads and RTP packets, as a browser would send them. Pacing is transport/rtp-sender.ts. */
import { Application, createEncoder, type OpusEncoderHandle, Signal } from "libopus-wasm";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { isOpusDtx } from "../../core/opus-packet.ts";
import type { RtpPacket } from "../../core/rtp.ts";
import type { MonotonicMs } from "../../core/units.ts";

/** A frame's length, ms; what every browser sends. */
export const OPUS_FRAME_MS = 20;
/** RFC 7587 §4.2: the RTP clock is 48 kHz whatever the audio rate. */
export const OPUS_FRAME_TICKS = 960;

export interface OpusEncoderOptions {
  /** Hz, of the PCM. Default 16,000. */
  readonly inputRateHz?: 16_000 | 48_000;
  /** Bits a second, 6,000–128,000. Default 24,000: wideband speech without audible loss. */
  readonly bitrate?: number;
  /** Carries each frame once more, coarser, in the next packet. Default true. */
  readonly fec?: boolean;
  /** Percent, 0–100. Loss that FEC is weighed against; at 0 the encoder spends nothing on it. Default 10. */
  readonly expectedLossPercent?: number;
  /** Effort, 0–10. Default 9, as desktop browsers have; 5, as phones, takes half the time. */
  readonly complexity?: number;
  /** Sends next to nothing while there is silence. Default false. */
  readonly dtx?: boolean;
}

/** Encodes one mono stream in 20 ms frames. Holds WASM memory until closed. */
export class OpusFrameEncoder implements Disposable {
  /** Samples that encode() wants. */
  readonly frameSamples: number;
  /** 48 kHz ticks by which decoded audio lags behind its input; an Ogg file's pre-skip. */
  readonly lookaheadTicks: number;
  readonly #encoder: OpusEncoderHandle;

  private constructor(encoder: OpusEncoderHandle) {
    this.#encoder = encoder;
    this.frameSamples = encoder.frameSize;
    this.lookaheadTicks = (encoder.getLookahead() * 48_000) / encoder.sampleRate;
  }

  /** @throws TonetapError invalid-argument naming the option. */
  static async create(options: OpusEncoderOptions = {}): Promise<OpusFrameEncoder> {
    const {
      inputRateHz = 16_000,
      bitrate = 24_000,
      fec = true,
      expectedLossPercent = 10,
      complexity = 9,
      dtx = false,
    } = options;
    assertRange("bitrate", bitrate, 6_000, 128_000, "bit/s");
    assertRange("expectedLossPercent", expectedLossPercent, 0, 100, "%");
    assertRange("complexity", complexity, 0, 10);
    const encoder = await createEncoder({
      sampleRate: inputRateHz,
      channels: 1,
      frameSize: (inputRateHz * OPUS_FRAME_MS) / 1000,
      application: Application.Voip,
      signal: Signal.Voice,
      bitrate,
      fec,
      complexity,
      packetLossPercent: fec ? expectedLossPercent : 0,
      dtx,
    });
    return new OpusFrameEncoder(encoder);
  }

  /**
   * @param frame `frameSamples` mono samples in [−1, 1].
   * @returns the packet, the caller's to keep. See isOpusDtx() for those not worth sending.
   */
  encode(frame: Float32Array): Uint8Array {
    if (frame.length !== this.frameSamples) {
      throw new TonetapError(
        "invalid-argument",
        `a frame must have ${this.frameSamples} samples, got ${frame.length}`,
      );
    }
    return this.#encoder.encodeFloat(frame);
  }

  close(): void {
    this.#encoder.free();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export interface RtpStreamOptions {
  /** 0–127. Default 111, as browsers offer Opus. */
  readonly payloadType?: number;
  /** 32 bits. Default 1. */
  readonly ssrc?: number;
  /** 16 bits; the first packet's. Default 0. */
  readonly firstSequence?: number;
  /** 32 bits; the first packet's. Default 0. */
  readonly firstTimestamp?: number;
}

/** Numbers the frames of an OpusFrameEncoder as one RTP stream. Serialising is serializeRtp(). */
export class OpusRtpEncoder implements Disposable {
  readonly frameSamples: number;
  readonly #encoder: OpusFrameEncoder;
  readonly #payloadType: number;
  readonly #ssrc: number;
  #sequence: number;
  #timestamp: number;
  #silent = true;

  private constructor(encoder: OpusFrameEncoder, options: RtpStreamOptions) {
    this.#encoder = encoder;
    this.frameSamples = encoder.frameSamples;
    this.#payloadType = options.payloadType ?? 111;
    this.#ssrc = options.ssrc ?? 1;
    this.#sequence = options.firstSequence ?? 0;
    this.#timestamp = options.firstTimestamp ?? 0;
  }

  /** @throws TonetapError invalid-argument naming the option. */
  static async create(options: OpusEncoderOptions & RtpStreamOptions = {}): Promise<OpusRtpEncoder> {
    assertRange("payloadType", options.payloadType ?? 111, 0, 127);
    assertRange("ssrc", options.ssrc ?? 1, 0, 0xffff_ffff);
    assertRange("firstSequence", options.firstSequence ?? 0, 0, 0xffff);
    assertRange("firstTimestamp", options.firstTimestamp ?? 0, 0, 0xffff_ffff);
    return new OpusRtpEncoder(await OpusFrameEncoder.create(options), options);
  }

  /**
   * @param frame as for {@link OpusFrameEncoder.encode}.
   * @param arrivalMs what the packet says of its arrival.
   * @returns undefined while DTX keeps silent: the timestamp goes on, the sequence number does not.
   */
  encode(frame: Float32Array, arrivalMs: MonotonicMs): RtpPacket | undefined {
    const payload = this.#encoder.encode(frame);
    const timestamp = this.#timestamp;
    this.#timestamp = (timestamp + OPUS_FRAME_TICKS) >>> 0;
    if (isOpusDtx(payload)) {
      this.#silent = true;
      return undefined;
    }
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & 0xffff;
    // RFC 3551 §4.1: the marker tells the first packet after silence.
    const marker = this.#silent;
    this.#silent = false;
    return {
      sequence,
      timestamp,
      ssrc: this.#ssrc,
      payloadType: this.#payloadType,
      marker,
      payload,
      arrivalMs,
    };
  }

  close(): void {
    this.#encoder.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
