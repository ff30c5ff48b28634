/** Branded units for numbers that get confused. Owns the names, not the arithmetic. */

/** RTP timestamp ticks of one stream, unwrapped past 32 bits. RFC 3550 §5.1: the clock's rate is the payload format's. */
export type RtpTicks = number & { readonly __unit: "RtpTicks" };

/** Samples at the pipeline's rate ({@link PIPELINE_RATE_HZ}), counted from the stream's first sample. */
export type SampleIndex = number & { readonly __unit: "SampleIndex" };

/** Milliseconds on the monotonic clock of {@link Clock.now}. */
export type MonotonicMs = number & { readonly __unit: "MonotonicMs" };

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type WallMs = number & { readonly __unit: "WallMs" };

export const rtpTicks = (value: number): RtpTicks => value as RtpTicks;
export const sampleIndex = (value: number): SampleIndex => value as SampleIndex;
export const monotonicMs = (value: number): MonotonicMs => value as MonotonicMs;
export const wallMs = (value: number): WallMs => value as WallMs;

/** Every decoder delivers mono PCM at this rate, Hz: wideband speech, what SILK carries and the models were trained on. */
export const PIPELINE_RATE_HZ = 16_000;

/** Samples in a millisecond at {@link PIPELINE_RATE_HZ}. */
export const SAMPLES_PER_MS = PIPELINE_RATE_HZ / 1000;
