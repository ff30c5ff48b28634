/** Writes WAV files and tones for tests. */

/** `seconds` of a sine. */
export const tone = (hz: number, rateHz: number, seconds: number, amplitude = 0.5): Float32Array =>
  Float32Array.from(
    { length: Math.round(rateHz * seconds) },
    (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / rateHz),
  );

/** A WAV file; one array a channel, all of one length. */
export function wav(
  channels: readonly Float32Array[],
  rateHz: number,
  depth: 8 | 16 | 24 | 32 | "float",
): Uint8Array {
  const bytes = depth === "float" ? 4 : depth / 8;
  const frames = channels[0]?.length ?? 0;
  const block = bytes * channels.length;
  const file = new Uint8Array(44 + frames * block);
  const view = new DataView(file.buffer);
  const put = (at: number, text: string): void => file.set(new TextEncoder().encode(text), at);
  put(0, "RIFF");
  view.setUint32(4, file.length - 8, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, depth === "float" ? 3 : 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rateHz, true);
  view.setUint32(28, rateHz * block, true);
  view.setUint16(32, block, true);
  view.setUint16(34, bytes * 8, true);
  put(36, "data");
  view.setUint32(40, frames * block, true);
  for (let i = 0; i < frames; i++) {
    for (const [c, samples] of channels.entries()) {
      const at = 44 + i * block + c * bytes;
      const sample = samples[i] ?? 0;
      if (depth === "float") view.setFloat32(at, sample, true);
      else if (depth === 8) view.setUint8(at, Math.round(sample * 127) + 128);
      else {
        const value = Math.round(sample * (2 ** (depth - 1) - 1));
        for (let b = 0; b < bytes; b++) view.setUint8(at + b, Math.floor(value / 256 ** b) & 0xff);
      }
    }
  }
  return file;
}
