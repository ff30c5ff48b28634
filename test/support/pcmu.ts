/** G.711 µ-law for tests that send it: the encoder, and the bundled voices through it. */
import { fileURLToPath } from "node:url";
import { resample } from "../../src/core/resampler.ts";
import { decodeTo16k } from "../../src/transport/file/audio-file.ts";

/** ITU-T G.711 µ-law of 14-bit samples: bias 33, segment and step, all bits inverted on the wire. */
function encodeSample(sample: number): number {
  const scaled = Math.round(Math.max(-1, Math.min(1, sample)) * 8192);
  const magnitude = Math.min(8158, Math.abs(scaled)) + 33;
  const segment = Math.max(0, 31 - Math.clz32(magnitude) - 5);
  const step = (magnitude >> (segment + 1)) & 0x0f;
  return ~((scaled < 0 ? 0x80 : 0) | (segment << 4) | step) & 0xff;
}

export const encodePcmu = (samples: Float32Array): Uint8Array => Uint8Array.from(samples, encodeSample);

export interface TelephoneVoice {
  /** µ-law, 8 kHz: 160 bytes are 20 ms. */
  readonly pcmu: Uint8Array;
  /** What went into the encoder, brought to 16 kHz. */
  readonly reference16k: Float32Array;
}

/** `lengthMs` of a voice of the bundled call from `fromMs` on, 16 kHz. Anna speaks from 0.5 s on. */
export async function bundledVoice(
  name: "anna" | "ben",
  fromMs: number,
  lengthMs: number,
): Promise<Float32Array> {
  const path = fileURLToPath(new URL(`../../assets/demo/${name}.opus`, import.meta.url));
  const parts: Float32Array[] = [];
  for await (const part of decodeTo16k(path)) parts.push(part);
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.slice(fromMs * 16, (fromMs + lengthMs) * 16);
}

/** The same over a telephone. */
export async function telephoneVoice(
  name: "anna" | "ben",
  fromMs: number,
  lengthMs: number,
): Promise<TelephoneVoice> {
  const narrow = resample(await bundledVoice(name, fromMs, lengthMs), 16_000, 8_000);
  const exact = narrow.subarray(0, lengthMs * 8);
  return { pcmu: encodePcmu(exact), reference16k: resample(exact, 8_000, 16_000) };
}

/** Payloads of 20 ms. */
export const pcmuFrames = (pcmu: Uint8Array): { payload: Uint8Array }[] =>
  Array.from({ length: Math.floor(pcmu.length / 160) }, (_, i) => ({
    payload: pcmu.subarray(160 * i, 160 * (i + 1)),
  }));
