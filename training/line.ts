/** Sends a recording through a telephone line: a real codec, with or without packet loss. For training and measuring. */
import { createDecoder, createEncoder } from "libopus-wasm";
import { TonetapError } from "../src/core/errors.ts";
import { PIPELINE_RATE_HZ } from "../src/core/units.ts";
import { resample } from "./resample.ts";

/** Samples of a 20 ms packet. */
const PACKET_SAMPLES = PIPELINE_RATE_HZ / 50;
const NARROW_BAND_HZ = 8_000;

/** A line: what the audio passes on its way. */
export type Line =
  | { readonly kind: "clean" }
  | { readonly kind: "g711" }
  | { readonly kind: "opus"; readonly kbps: number; readonly lossPercent: number };

/**
 * `clean`, `g711`, `opus24`, `opus16-loss5` (16 kbit/s, 5 % of packets lost, in-band FEC on).
 * @throws TonetapError invalid-argument for another name.
 */
export function parseLine(name: string): Line {
  if (name === "clean" || name === "g711") return { kind: name };
  const match = /^opus(\d{1,3})(?:-loss(\d{1,2}))?$/.exec(name);
  const kbps = Number(match?.[1]);
  if (match === null || !(kbps >= 6 && kbps <= 128)) {
    throw new TonetapError(
      "invalid-argument",
      `line must be clean, g711, opus6–opus128 or opusN-lossP, got ${name}`,
    );
  }
  return { kind: "opus", kbps, lossPercent: Number(match[2] ?? 0) };
}

/** What the far end hears: 16 kHz mono in, as many samples out, aligned. Deterministic. */
export async function throughLine(samples: Float32Array, line: Line): Promise<Float32Array> {
  switch (line.kind) {
    case "clean":
      return samples;
    case "g711":
      return throughG711(samples);
    case "opus":
      return throughOpus(samples, line.kbps, line.lossPercent);
    default:
      return line satisfies never;
  }
}

function throughG711(samples: Float32Array): Float32Array {
  const narrow = resample(samples, PIPELINE_RATE_HZ, NARROW_BAND_HZ);
  for (let i = 0; i < narrow.length; i++) narrow[i] = muLawRoundTrip(narrow[i] ?? 0);
  return resample(narrow, NARROW_BAND_HZ, PIPELINE_RATE_HZ).subarray(0, samples.length);
}

/** ITU-T G.711 µ-law: to eight bits and back. 14-bit magnitude, bias 33, eight segments of sixteen steps. */
export function muLawRoundTrip(sample: number): number {
  const magnitude = Math.min(Math.abs(sample) * 8192, 8158) + 33;
  const segment = Math.max(0, Math.floor(Math.log2(magnitude)) - 5);
  const step = 2 ** (segment + 1);
  const level = (Math.floor(magnitude / step) + 0.5) * step - 33;
  return (Math.sign(sample) * level) / 8192;
}

async function throughOpus(samples: Float32Array, kbps: number, lossPercent: number): Promise<Float32Array> {
  const lossy = lossPercent > 0;
  using encoder = await createEncoder({
    sampleRate: PIPELINE_RATE_HZ,
    channels: 1,
    frameSize: PACKET_SAMPLES,
    application: 2048, // VOIP
    bitrate: kbps * 1000,
    complexity: 5,
    fec: lossy,
    packetLossPercent: lossPercent,
  });
  using decoder = await createDecoder({ sampleRate: PIPELINE_RATE_HZ, channels: 1 });
  const delay = encoder.getLookahead();
  const count = Math.ceil((samples.length + delay) / PACKET_SAMPLES);
  const padded = new Float32Array(count * PACKET_SAMPLES);
  padded.set(samples);
  const packets: (Uint8Array | undefined)[] = [];
  const lost = seededRandom(samples.length);
  for (let i = 0; i < count; i++) {
    const packet = encoder.encodeFloat(padded.subarray(i * PACKET_SAMPLES, (i + 1) * PACKET_SAMPLES));
    packets.push(lossy && lost() * 100 < lossPercent ? undefined : packet);
  }
  const heard = new Float32Array(padded.length);
  for (let i = 0; i < count; i++) {
    const packet = packets[i];
    const next = packets[i + 1];
    const decoded =
      packet !== undefined
        ? decoder.decodeFloat(packet)
        : next !== undefined
          ? decoder.decodeFloat(next, { decodeFec: true, frameSize: PACKET_SAMPLES })
          : decoder.decodePacketLossFloat(PACKET_SAMPLES);
    heard.set(decoded.subarray(0, PACKET_SAMPLES), i * PACKET_SAMPLES);
  }
  for (let i = 0; i < heard.length; i++) heard[i] = Math.max(-1, Math.min(1, heard[i] ?? 0));
  return heard.subarray(delay, delay + samples.length);
}

/** Uniform numbers in [0, 1) by xorshift32: the same for the same seed. */
function seededRandom(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
