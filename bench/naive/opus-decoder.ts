/** The npm package opus-decoder, which is installed on demand: only what is used, with types of our own. */

export interface OpusDecoder {
  readonly ready: Promise<void>;
  decodeFrame(packet: Uint8Array): {
    readonly channelData: readonly Float32Array[];
    readonly samplesDecoded: number;
  };
  free(): void;
}

interface OpusDecoderModule {
  readonly OpusDecoder: new (options: { sampleRate: number; channels: number }) => OpusDecoder;
}

/** In a variable: the compiler must not look for a package that may not be installed. */
const PACKAGE: string = "opus-decoder";

/** A decoder of its own WebAssembly instance, as the package has it: mono, 16 kHz. */
export async function createOpusDecoder(): Promise<OpusDecoder> {
  const { OpusDecoder } = (await import(PACKAGE)) as OpusDecoderModule;
  const decoder = new OpusDecoder({ sampleRate: 16_000, channels: 1 });
  await decoder.ready;
  return decoder;
}
