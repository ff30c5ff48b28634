/** L16 (RFC 3551 §4.5.11) at 16 kHz: 16-bit big-endian samples of any rate, mixed to mono. Nothing is concealed here. */
import { Resampler } from "../core/resampler.ts";
import type { AudioCodec } from "../core/rtp.ts";
import { PIPELINE_RATE_HZ } from "../core/units.ts";
import { HalfBandUpsampler } from "./half-band.ts";

/** ms of a packet at most, as of G.711. */
const MAX_PACKET_MS = 200;
const MIN_RATE_HZ = 8_000;
const MAX_RATE_HZ = 192_000;
const MAX_CHANNELS = 8;
const FULL_SCALE = 32_768;

/**
 * One participant's L16 decoder. Returned arrays are borrowed until the next call. 16 kHz passes as it is; 8 kHz goes
 * through the filter of the telephone codecs, 1.5 ms late; other rates through a resampler, up to 11 ms late, that
 * allocates with each packet.
 */
export class L16Decoder {
  #rateHz = 0;
  #maxInput = 0;
  #mono = new Float32Array();
  #wide = new Float32Array();
  #upsampler: HalfBandUpsampler | undefined;
  #resampler: Resampler | undefined;
  /** Resampled, but not due yet. */
  #queue = new Float32Array();
  #received = 0;
  #given = 0;

  /** @returns undefined for a payload that is no whole number of samples, or of no or more than 200 ms. */
  decode(payload: Uint8Array, { clockRateHz, channels }: AudioCodec): Float32Array | undefined {
    if (clockRateHz < MIN_RATE_HZ || clockRateHz > MAX_RATE_HZ) return undefined;
    if (channels < 1 || channels > MAX_CHANNELS) return undefined;
    if (clockRateHz !== this.#rateHz) this.#prepare(clockRateHz);
    const count = payload.length / (2 * channels);
    if (!Number.isInteger(count) || count === 0 || count > this.#maxInput) return undefined;
    const mono = this.#mono;
    for (let i = 0, at = 0; i < count; i++) {
      let sum = 0;
      for (let c = 0; c < channels; c++, at += 2) {
        sum += (((payload[at] ?? 0) << 24) >> 16) | (payload[at + 1] ?? 0);
      }
      mono[i] = sum / (FULL_SCALE * channels);
    }
    if (this.#upsampler !== undefined) {
      this.#upsampler.process(mono, count, this.#wide);
      return clamp(this.#wide.subarray(0, 2 * count));
    }
    if (this.#resampler !== undefined) return this.#resample(this.#resampler, mono.subarray(0, count));
    return mono.subarray(0, count);
  }

  /** Forgets the past, and overwrites it. */
  reset(): void {
    this.#mono.fill(0);
    this.#wide.fill(0);
    this.#upsampler?.reset();
    this.#queue.fill(0);
    // Its filter holds audio; the next packet prepares anew.
    this.#resampler = undefined;
    this.#rateHz = 0;
  }

  #prepare(rateHz: number): void {
    this.#rateHz = rateHz;
    this.#maxInput = (MAX_PACKET_MS * rateHz) / 1000;
    if (this.#mono.length < this.#maxInput) this.#mono = new Float32Array(this.#maxInput);
    this.#upsampler = undefined;
    this.#resampler = undefined;
    if (2 * rateHz === PIPELINE_RATE_HZ) {
      this.#upsampler = new HalfBandUpsampler(this.#maxInput);
      this.#wide = new Float32Array(2 * this.#maxInput);
    } else if (rateHz !== PIPELINE_RATE_HZ) {
      this.#resampler = new Resampler(rateHz, PIPELINE_RATE_HZ);
      this.#queue = new Float32Array(this.#resampler.latency);
      this.#received = 0;
      this.#given = 0;
    }
  }

  /** Exactly as many samples as the packet lasts: a lead of silence makes up for what the filter holds back. */
  #resample(resampler: Resampler, samples: Float32Array): Float32Array {
    this.#received += samples.length;
    const ready = resampler.push(samples);
    const queue = new Float32Array(this.#queue.length + ready.length);
    queue.set(this.#queue);
    queue.set(ready, this.#queue.length);
    const due = Math.round((this.#received * PIPELINE_RATE_HZ) / this.#rateHz) - this.#given;
    this.#given += due;
    this.#queue = queue.subarray(due);
    return clamp(queue.subarray(0, due));
  }
}

/** Interpolation between full-scale samples overshoots. */
function clamp(samples: Float32Array): Float32Array {
  for (let i = 0; i < samples.length; i++) samples[i] = Math.max(-1, Math.min(1, samples[i] ?? 0));
  return samples;
}
