/** L16 for tests that send it. */

/** 16-bit samples in network byte order (RFC 3551 §4.5.11). */
export function encodeL16(samples: Float32Array): Uint8Array {
  const bytes = new Uint8Array(2 * samples.length);
  const view = new DataView(bytes.buffer);
  samples.forEach((sample, i) => {
    view.setInt16(2 * i, Math.max(-32_768, Math.min(32_767, Math.round(sample * 32_768))));
  });
  return bytes;
}

/** The same as most programs hold it, little-endian: AudioSocket, media over WebSocket. */
export const encodeSlin = (samples: Float32Array): Uint8Array => Buffer.from(encodeL16(samples)).swap16();
