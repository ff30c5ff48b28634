/** Sends a recording through a telephone line: the product's own codecs, with or without packet loss. */
import { TonetapError } from "../src/core/errors.ts";
import { hasOpusFec } from "../src/core/opus-packet.ts";
import { resample } from "../src/core/resampler.ts";
import { PIPELINE_RATE_HZ } from "../src/core/units.ts";
import { G711Decoder } from "../src/stream/g711.ts";
import { HALF_BAND_DELAY } from "../src/stream/half-band.ts";
import { createOpusDecoder } from "../src/stream/opus-decoder.ts";
import { OpusFrameEncoder } from "../src/transport/file/opus-rtp-encoder.ts";

const NARROW_BAND_HZ = 8_000;
/** Samples of 20 ms at 8 kHz. */
const G711_PACKET = NARROW_BAND_HZ / 50;

/** What the audio passes on its way. */
export type Line =
  | { readonly kind: "clean" }
  | { readonly kind: "g711" }
  /** A room's hum and hiss: pink noise so far below the recording's speech, dB, drawn for each recording. */
  | { readonly kind: "noise"; readonly leastSnrDb: number; readonly mostSnrDb: number }
  | { readonly kind: "gain"; readonly gainDb: number }
  | { readonly kind: "opus"; readonly kbps: number; readonly lossPercent: number };

/**
 * `clean`, `g711` (µ-law), `opus24`, `opus16-loss5` (16 kbit/s, 5 % of packets lost, in-band FEC on), `noise10` (pink
 * noise 10 dB below the speech), `noise5-25` (between 5 and 25 dB, another for each recording), `gain-20` (dB).
 * @throws TonetapError invalid-argument for another name.
 */
export function parseLine(name: string): Line {
  if (name === "clean" || name === "g711") return { kind: name };
  const gain = /^gain([+-]\d{1,2})$/.exec(name);
  if (gain !== null) return { kind: "gain", gainDb: Number(gain[1]) };
  const noise = /^noise(\d{1,2})(?:-(\d{1,2}))?$/.exec(name);
  if (noise !== null) {
    const leastSnrDb = Number(noise[1]);
    return { kind: "noise", leastSnrDb, mostSnrDb: Number(noise[2] ?? leastSnrDb) };
  }
  const match = /^opus(\d{1,3})(?:-loss(\d{1,2}))?$/.exec(name);
  const kbps = Number(match?.[1]);
  if (match === null || !(kbps >= 6 && kbps <= 128)) {
    throw new TonetapError(
      "invalid-argument",
      `line must be clean, g711, opus6–opus128, opusN-lossP, noise0–noise99, noiseN-M or gain-99–gain+99, got ${name}`,
    );
  }
  return { kind: "opus", kbps, lossPercent: Number(match[2] ?? 0) };
}

/**
 * `clean@0.9` is the line `clean` with the recording played at 0.9 of its speed: slower, and a deeper voice.
 * @throws TonetapError invalid-argument for a speed beyond 0.5–2.
 */
export function splitSpeed(name: string): { line: string; speed: number } {
  const [line = "", speedText = "1"] = name.split("@");
  const speed = Number(speedText);
  if (!(speed >= 0.5 && speed <= 2)) {
    throw new TonetapError("invalid-argument", `speed must be 0.5–2, got ${speedText}`);
  }
  return { line, speed };
}

/**
 * What the far end hears. The same audio is lost every time.
 * @param samples mono, 16 kHz.
 * @returns as many samples, aligned; `samples` itself for a clean line.
 */
export async function throughLine(samples: Float32Array, line: Line): Promise<Float32Array> {
  switch (line.kind) {
    case "clean":
      return samples;
    case "g711":
      return throughG711(samples);
    case "noise":
      return inNoise(samples, line.leastSnrDb, line.mostSnrDb);
    case "gain":
      return samples.map((sample) => Math.max(-1, Math.min(1, sample * 10 ** (line.gainDb / 20))));
    case "opus":
      return throughOpus(samples, line.kbps, line.lossPercent);
    default:
      return line satisfies never;
  }
}

function throughG711(samples: Float32Array): Float32Array {
  const narrow = resample(samples, PIPELINE_RATE_HZ, NARROW_BAND_HZ);
  // What the upsampler holds back, something must push out.
  const count = Math.ceil((narrow.length + HALF_BAND_DELAY) / G711_PACKET);
  const codes = new Uint8Array(count * G711_PACKET).fill(muLawCode(0));
  narrow.forEach((sample, i) => {
    codes[i] = muLawCode(sample);
  });
  const decoder = new G711Decoder();
  const heard = new Float32Array(2 * codes.length);
  for (let at = 0; at < codes.length; at += G711_PACKET) {
    const decoded = decoder.decode(codes.subarray(at, at + G711_PACKET), "mu");
    if (decoded !== undefined) heard.set(decoded, 2 * at);
  }
  return heard.subarray(2 * HALF_BAND_DELAY, 2 * HALF_BAND_DELAY + samples.length);
}

/** ITU-T G.711 table 2, µ-law: the eight bits of a sample in [−1, 1], inverted as on the wire. */
export function muLawCode(sample: number): number {
  const magnitude = Math.min(Math.round(Math.abs(sample) * 8192), 8158) + 33;
  const segment = Math.floor(Math.log2(magnitude)) - 5;
  const step = (magnitude >> (segment + 1)) & 0x0f;
  return ~((sample < 0 ? 0x80 : 0) | (segment << 4) | step) & 0xff;
}

async function throughOpus(samples: Float32Array, kbps: number, lossPercent: number): Promise<Float32Array> {
  using encoder = await OpusFrameEncoder.create({
    bitrate: kbps * 1000,
    fec: lossPercent > 0,
    expectedLossPercent: lossPercent,
  });
  const size = encoder.frameSamples;
  const delay = (encoder.lookaheadTicks * PIPELINE_RATE_HZ) / 48_000;
  const count = Math.ceil((samples.length + delay) / size);
  const sent = new Float32Array(count * size);
  sent.set(samples);
  const isLost = seededLoss(lossPercent, samples.length);
  const packets = Array.from({ length: count }, (_, i) => {
    const packet = encoder.encode(sent.subarray(i * size, (i + 1) * size));
    return isLost() ? undefined : packet;
  });
  const decoder = await createOpusDecoder();
  const heard = new Float32Array(sent.length);
  packets.forEach((packet, i) => {
    const next = packets[i + 1];
    const decoded =
      packet !== undefined
        ? decoder.decode(packet)
        : next !== undefined && hasOpusFec(next)
          ? decoder.decodeFec(next, size)
          : decoder.conceal(size);
    if (decoded !== undefined) heard.set(decoded.subarray(0, size), i * size);
  });
  decoder.close();
  return heard.subarray(delay, delay + samples.length);
}

/** Adds pink noise. The level of speech is the mean square of the louder half of the recording's 20 ms stretches. */
function inNoise(samples: Float32Array, leastSnrDb: number, mostSnrDb: number): Float32Array {
  const random = seededRandom(samples.length);
  const snrDb = leastSnrDb + (mostSnrDb - leastSnrDb) * random();
  const noise = pinkNoise(samples.length, random);
  const gain = Math.sqrt(speechPower(samples) / (10 ** (snrDb / 10) * meanSquare(noise)));
  return samples.map((sample, i) => Math.max(-1, Math.min(1, sample + gain * (noise[i] ?? 0))));
}

function speechPower(samples: Float32Array): number {
  const stretch = PIPELINE_RATE_HZ / 50;
  const powers: number[] = [];
  for (let at = 0; at + stretch <= samples.length; at += stretch) {
    powers.push(meanSquare(samples.subarray(at, at + stretch)));
  }
  const louder = powers.sort((a, b) => b - a).slice(0, Math.ceil(powers.length / 2));
  return louder.reduce((sum, power) => sum + power, 0) / Math.max(1, louder.length);
}

const meanSquare = (samples: Float32Array): number =>
  samples.reduce((sum, x) => sum + x * x, 0) / Math.max(1, samples.length);

/** 1/f within 0.5 dB from 40 Hz to 7 kHz: white noise through three one-pole filters (P. Kellet's "economy" filter). */
function pinkNoise(length: number, random: () => number): Float32Array {
  let low = 0;
  let middle = 0;
  let high = 0;
  return Float32Array.from({ length }, () => {
    const white = 2 * random() - 1;
    low = 0.99765 * low + 0.099046 * white;
    middle = 0.963 * middle + 0.2965164 * white;
    high = 0.57 * high + 1.0526913 * white;
    return low + middle + high + 0.1848 * white;
  });
}

/** Says for one packet after the other whether it is lost; the same for the same seed. */
function seededLoss(percent: number, seed: number): () => boolean {
  const random = seededRandom(seed);
  return () => random() < percent / 100;
}

/** Numbers in [0, 1) by xorshift32; the same for the same seed. */
function seededRandom(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
