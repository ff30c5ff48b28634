/** Encodes test audio to Opus packets, by the same library that decodes it. */
import { Application, createEncoder, type EncoderOptions } from "libopus-wasm";

export interface OpusEncodingOptions extends EncoderOptions {
  /** Packet length, ms. Default 20. */
  readonly packetMs?: 10 | 20 | 40 | 60;
}

/** One packet each `packetMs`; a last piece that does not fill a packet is left out. */
export async function encodeOpus(
  samples: Float32Array,
  options: OpusEncodingOptions = {},
): Promise<Uint8Array[]> {
  const { packetMs = 20, ...encoderOptions } = options;
  const frameSize = options.frameSize ?? packetMs * 16;
  const encoder = await createEncoder({
    sampleRate: 16_000,
    channels: 1,
    application: Application.Voip,
    bitrate: 24_000,
    ...encoderOptions,
    frameSize,
  });
  const packets: Uint8Array[] = [];
  for (let at = 0; at + frameSize <= samples.length; at += frameSize) {
    packets.push(encoder.encodeFloat(samples.slice(at, at + frameSize)));
  }
  encoder.free();
  return packets;
}
