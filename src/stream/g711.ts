/** G.711 at 16 kHz: µ-law and A-law expansion, loss concealment, upsampling. When to conceal is decode-audio.ts. */
import { HalfBandUpsampler } from "./half-band.ts";

export type G711Law = "mu" | "a";

/** 8 kHz samples of a packet at most: 200 ms, more than any negotiated ptime. */
const MAX_PACKET = 1_600;
/** Pitch periods looked for, 8 kHz samples: 200–66 Hz. ITU-T G.711 Appendix I §I.2. */
const MIN_LAG = 40;
const MAX_LAG = 120;
/** 20 ms are compared to find the period. */
const MATCH = 160;
/** 4 ms over which concealed audio gives way to real audio again. */
const CROSS_FADE = 32;
/** Concealed audio keeps its level for 10 ms, then falls by a fifth every 10 ms: silent after 60 ms. */
const FADE_START = 80;
const FADE_LENGTH = 400;

/** ITU-T G.711 table 2a/2b, µ-law: sign, 3-bit segment, 4-bit step, all inverted on the wire; bias 33 at 14 bits. */
function expandMu(code: number): number {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 1) + 33) << ((bits >> 4) & 7)) - 33;
  return ((bits & 0x80) !== 0 ? -magnitude : magnitude) / 8192;
}

/** ITU-T G.711 table 1a/1b, A-law: even bits inverted on the wire; 13 bits. */
function expandA(code: number): number {
  const bits = code ^ 0x55;
  const segment = (bits >> 4) & 7;
  const step = ((bits & 0x0f) << 1) + 1;
  const magnitude = segment === 0 ? step : (step + 32) << (segment - 1);
  return ((bits & 0x80) !== 0 ? magnitude : -magnitude) / 4096;
}

const table = (expand: (code: number) => number): Float32Array =>
  Float32Array.from({ length: 256 }, (_, code) => expand(code));
const TABLES = { mu: table(expandMu), a: table(expandA) } as const satisfies Record<G711Law, Float32Array>;

/**
 * One participant's G.711 decoder. Returned arrays are borrowed until the next call.
 * Concealment is in the spirit of ITU-T G.711 Appendix I: the last pitch period is repeated and fades; its added
 * delay of 3.75 ms and its growing number of periods are left out. Output is 1.5 ms late, from the upsampler.
 */
export class G711Decoder {
  readonly #narrow = new Float32Array(MAX_PACKET);
  readonly #wide = new Float32Array(2 * MAX_PACKET);
  readonly #upsampler = new HalfBandUpsampler(MAX_PACKET);
  /** The last 8 kHz samples that were really received. */
  readonly #history = new Float32Array(MATCH + MAX_LAG);
  /** The pitch period that is being repeated. */
  readonly #period = new Float32Array(MAX_LAG);
  #lag = MIN_LAG;
  /** 8 kHz samples concealed since the last packet. */
  #concealed = 0;

  /** @returns 2 samples a byte, or undefined for a payload of no or more than 200 ms. */
  decode(payload: Uint8Array, law: G711Law): Float32Array | undefined {
    const count = payload.length;
    if (count === 0 || count > MAX_PACKET) return undefined;
    const codes = TABLES[law];
    for (let i = 0; i < count; i++) this.#narrow[i] = codes[payload[i] ?? 0] ?? 0;
    const faded = this.#concealed > 0 ? Math.min(CROSS_FADE, count) : 0;
    for (let i = 0; i < faded; i++) {
      const weight = (i + 1) / (faded + 1);
      this.#narrow[i] = weight * (this.#narrow[i] ?? 0) + (1 - weight) * this.#nextConcealed();
    }
    this.#concealed = 0;
    this.#remember(count);
    return this.#upsample(count);
  }

  /** @returns `sampleCount` samples (at most 3,200) in the place of lost ones. */
  conceal(sampleCount: number): Float32Array {
    const count = Math.min(MAX_PACKET, Math.ceil(sampleCount / 2));
    if (this.#concealed === 0) this.#findPeriod();
    for (let i = 0; i < count; i++) this.#narrow[i] = this.#nextConcealed();
    return this.#upsample(count).subarray(0, sampleCount);
  }

  /** Forgets the past, and overwrites it. */
  reset(): void {
    this.#narrow.fill(0);
    this.#wide.fill(0);
    this.#history.fill(0);
    this.#period.fill(0);
    this.#upsampler.reset();
    this.#concealed = 0;
  }

  #upsample(count: number): Float32Array {
    this.#upsampler.process(this.#narrow, count, this.#wide);
    const wide = this.#wide.subarray(0, 2 * count);
    // The interpolation between full-scale codes overshoots.
    for (let i = 1; i < wide.length; i += 2) wide[i] = Math.max(-1, Math.min(1, wide[i] ?? 0));
    return wide;
  }

  #remember(count: number): void {
    const history = this.#history;
    const kept = Math.max(0, history.length - count);
    history.copyWithin(0, history.length - kept);
    history.set(this.#narrow.subarray(count - (history.length - kept), count), kept);
  }

  /** The lag at which the last 20 ms are most like what came before. */
  #findPeriod(): void {
    const history = this.#history;
    const from = history.length - MATCH;
    let best = 0;
    this.#lag = MIN_LAG;
    for (let lag = MIN_LAG; lag <= MAX_LAG; lag++) {
      let product = 0;
      let energy = 1e-9;
      for (let i = from; i < history.length; i++) {
        const earlier = history[i - lag] ?? 0;
        product += earlier * (history[i] ?? 0);
        energy += earlier * earlier;
      }
      const score = product / Math.sqrt(energy);
      if (score > best) {
        best = score;
        this.#lag = lag;
      }
    }
    // The end of the period is blended into what precedes its start, so that it repeats without a click.
    const lag = this.#lag;
    const blend = lag >> 2;
    for (let i = 0; i < lag; i++) {
      const last = history[history.length - lag + i] ?? 0;
      const weight = Math.max(0, (i - (lag - blend) + 1) / (blend + 1));
      this.#period[i] = (1 - weight) * last + weight * (history[history.length - 2 * lag + i] ?? 0);
    }
  }

  #nextConcealed(): number {
    const at = this.#concealed++;
    const gain = Math.max(0, Math.min(1, 1 - (at - FADE_START) / FADE_LENGTH));
    return gain * (this.#period[at % this.#lag] ?? 0);
  }
}
