/** libopus (WebAssembly) behind a small contract: the only file that knows the package. What to decode when is decode-audio.ts. */
import { createDecoder, isOpusError, type OpusDecoderHandle } from "libopus-wasm";
import { TonetapError } from "../core/errors.ts";
import { OPUS_UNIT_SAMPLES, opusPacketSamples } from "../core/opus-packet.ts";
import { PIPELINE_RATE_HZ } from "../core/units.ts";

/**
 * One participant's Opus decoder: mono, 16 kHz, samples clamped to [−1, 1] and never NaN. Returned arrays are the
 * caller's. All methods but `close` throw TonetapError `closed` after `close`.
 */
export interface OpusDecoder {
  /** The packet's audio, 40–1,920 samples; undefined when libopus refuses it. */
  decode(packet: Uint8Array): Float32Array | undefined;
  /**
   * The audio before `next`, from its in-band FEC. Ask hasOpusFec() first: without FEC libopus conceals.
   * @param sampleCount `next`'s frame length. RFC 6716 §2.1.7.
   */
  decodeFec(next: Uint8Array, sampleCount: number): Float32Array | undefined;
  /** Audio in the place of a lost packet. @param sampleCount rounded up to 2.5 ms; at most 1,920. */
  conceal(sampleCount: number): Float32Array;
  /** Overwrites the voice that is left in the decoder's state and scratch memory with silence. */
  wipe(): void;
  /** Wipes and frees. Idempotent. */
  close(): void;
}

/** 120 ms, the longest Opus packet. */
const MAX_SAMPLES = 1_920;
/** 60 ms. Longer packets are rare, and every decoder's room for them would be a quarter of it. */
const USUAL_SAMPLES = 960;
/** Bytes. More does not fit an Ethernet frame; libopus itself would take 7,650. */
const MAX_PACKET_BYTES = 1_500;
/** 60 ms of digital silence, SILK wideband, as libopus 1.6.1 encodes it: one frame without its TOC byte. */
const SILENT_FRAME = [1, 242, 94, 114, 54, 146, 31, 5, 250, 71, 141, 105, 44, 143, 32, 10, 251, 251, 43, 32];
/** It as a packet: configuration 11, one frame (RFC 6716 §3.2.2); and 120 ms, two frames of one length (§3.2.3). */
const SILK_SILENCE = Uint8Array.from([11 << 3, ...SILENT_FRAME]);
const LONG_SILK_SILENCE = Uint8Array.from([(11 << 3) | 1, ...SILENT_FRAME, ...SILENT_FRAME]);
/** 20 ms of digital silence, CELT fullband. */
const CELT_SILENCE = Uint8Array.from([0xf8, 0xff, 0xfe]);
/** Packets of each after which the decoder's history (48 ms of SILK, 128 ms of CELT) is silence. */
const WIPE_PACKETS = 8;
/** The longest packet there can be, and not valid (no frames): libopus refuses it before it changes its state. */
const SCRATCH_FILLER = new Uint8Array(MAX_PACKET_BYTES).fill(3, 0, 1);

/**
 * Makes a decoder. The package creates decoders asynchronously only, so it is made before its chain starts.
 * All decoders live in one WebAssembly module, 22 kB each.
 * @throws TonetapError unavailable when WebAssembly cannot be loaded or is out of memory.
 */
export async function createOpusDecoder(): Promise<OpusDecoder> {
  try {
    return new LibopusDecoder(
      await createDecoder({ sampleRate: PIPELINE_RATE_HZ, channels: 1, maxFrameSize: USUAL_SAMPLES }),
    );
  } catch (error) {
    throw TonetapError.from(error, "unavailable", "no Opus decoder");
  }
}

class LibopusDecoder implements OpusDecoder {
  readonly #handle: OpusDecoderHandle;
  /** Samples that a packet may have so far. */
  readonly #room = { maxFrameSize: USUAL_SAMPLES };
  #closed = false;

  constructor(handle: OpusDecoderHandle) {
    this.#handle = handle;
    // The package's packet scratch grows to its full size at once: growing later would leave packets behind in memory.
    this.#attempt(() => handle.decodeFloat(SCRATCH_FILLER));
  }

  decode(packet: Uint8Array): Float32Array | undefined {
    if (packet.length > MAX_PACKET_BYTES) return undefined;
    this.#makeRoom(opusPacketSamples(packet));
    return this.#attempt(() => this.#handle.decodeFloat(packet, this.#room));
  }

  decodeFec(next: Uint8Array, sampleCount: number): Float32Array | undefined {
    if (next.length > MAX_PACKET_BYTES) return undefined;
    this.#makeRoom(sampleCount);
    return this.#attempt(() => this.#handle.decodeFloat(next, { decodeFec: true, frameSize: sampleCount }));
  }

  conceal(sampleCount: number): Float32Array {
    const frameSize = Math.min(
      MAX_SAMPLES,
      Math.max(1, Math.ceil(sampleCount / OPUS_UNIT_SAMPLES)) * OPUS_UNIT_SAMPLES,
    );
    this.#makeRoom(frameSize);
    return this.#attempt(() => this.#handle.decodePacketLossFloat(frameSize)) ?? new Float32Array(frameSize);
  }

  wipe(): void {
    for (let i = 0; i < WIPE_PACKETS; i++) this.decode(CELT_SILENCE);
    const silk = this.#room.maxFrameSize > USUAL_SAMPLES ? LONG_SILK_SILENCE : SILK_SILENCE;
    for (let i = 0; i < WIPE_PACKETS; i++) this.decode(silk);
    this.decode(SCRATCH_FILLER);
  }

  close(): void {
    if (this.#closed) return;
    // free() does not clear WebAssembly memory.
    this.wipe();
    this.#closed = true;
    this.#handle.free();
  }

  /**
   * The package gives old room free as it is, so it has to hold silence: at its first packet of more than 60 ms a decoder
   * begins anew.
   */
  #makeRoom(sampleCount: number): void {
    if (sampleCount <= this.#room.maxFrameSize || this.#closed) return;
    this.wipe();
    this.#room.maxFrameSize = MAX_SAMPLES;
  }

  /** undefined when libopus refuses the bytes: garbage from a peer is an outcome, not an error. */
  #attempt(decode: () => Float32Array): Float32Array | undefined {
    if (this.#closed) throw new TonetapError("closed", "the Opus decoder is closed");
    try {
      return clamp(decode());
    } catch (error) {
      if (isOpusError(error) || error instanceof RangeError) return undefined;
      throw TonetapError.from(error, "internal", "Opus decoder");
    }
  }
}

/** In place. libopus's float output is not limited: loud or damaged packets reach ±4. */
function clamp(samples: Float32Array): Float32Array {
  for (let i = 0; i < samples.length; i++) {
    const sample = samples[i] ?? 0;
    if (!(sample >= -1 && sample <= 1)) samples[i] = sample > 1 ? 1 : sample < -1 ? -1 : 0;
  }
  return samples;
}
