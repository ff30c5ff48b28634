/**
 * Where one feature spec's sizes, tables and work space lie. Written by ../kernel-plan.ts, field by field in this order;
 * the kernel has no state of its own. Pointers are bytes. A "quad" is a v128: one value of four successive frames.
 */
@unmanaged
export class Plan {
  /** Samples. */
  frameLength: i32;
  hopLength: i32;
  /** Points of the complex FFT: fftSize / 2. */
  points: i32;
  melBands: i32;
  /** The first band that may be a frame's loudest. */
  aboveHum: i32;
  mfcc: i32;
  chroma: i32;
  /** Frames the delta reaches to either side; 0: no derivatives. */
  deltaHalf: i32;
  /** Frames a ring holds; a multiple of 4. */
  ringFrames: i32;
  /** 1 where the spec wants the block, else 0. */
  delta: i32;
  delta2: i32;
  logMel: i32;
  /** Bytes from a ring's begin to a block of its rows, −1 where there is none. Levels are f32, the others i16. */
  energyAt: i32;
  speechAt: i32;
  melAt: i32;
  chromaAt: i32;
  /** Log-mel in a ring: (dB − melCentre) / melStep, rounded. */
  melCentre: f32;
  melStep: f32;
  stepsPerDb: f32;
  /** dB that a band counts below its frame's loudest in the cepstrum at most. */
  mfccTopDb: f32;
  /** f32[frameLength]: half the Hann window. */
  window: usize;
  /** f32: six a butterfly (three complex factors), stage after stage. */
  twiddles: usize;
  /** f32[2 · (points/2 + 1)]: e^(−2πik/fftSize). */
  roots: usize;
  /** Sparse matrices: see bank.ts. */
  melBank: usize;
  chromaBank: usize;
  speechBank: usize;
  /** f32: see cepstrum.ts. */
  dct: usize;
  /** f32[2 · (deltaHalf + 1)]: weights of frame t ± n, first and second derivative. */
  deltaWeights: usize;
  /** Quads[2 · points]: complex work space. */
  workA: usize;
  workB: usize;
  /** Quads[points + 1]. */
  power: usize;
  /** Quads[melBands]. */
  bands: usize;
  /** Quads[2 · ceil(melBands / 2)]. */
  folded: usize;
  /** f32[mfcc][seriesPitch]: cepstral coefficients of successive frames. */
  series: usize;
}
