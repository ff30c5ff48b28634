/**
 * The encoder's steps as streams keep them: 16 bits a value, and a scale for each step. Whose steps they are is
 * stream-memory.ts.
 */

/** Room for steps of `width` values; survives structured cloning. */
export interface HeldSteps {
  readonly width: number;
  /** [steps, width]: shares of the step's scale. */
  readonly values: Int16Array<SharedArrayBuffer>;
  /** One a step: what a value of 1 stands for. */
  readonly scales: Float32Array<SharedArrayBuffer>;
}

/** A step's largest value is this one: it is off by 1 / 65,534 of that at most, where the model promises 1e-4. */
const LARGEST = 32_767;

/** Bytes of a step. */
export const heldStepBytes = (width: number): number => 2 * width + 4;

export const roomForSteps = (steps: number, width: number): HeldSteps => ({
  width,
  values: new Int16Array(new SharedArrayBuffer(2 * steps * width)),
  scales: new Float32Array(new SharedArrayBuffer(4 * steps)),
});

/** Steps from `first` on: the same memory. */
export const stepsFrom = ({ width, values, scales }: HeldSteps, first: number): HeldSteps => ({
  width,
  values: values.subarray(first * width),
  scales: scales.subarray(first),
});

/** Holds `count` steps of `from`, [count, width], from step `first` on. */
export function holdSteps(from: Float32Array, count: number, to: HeldSteps, first: number): void {
  const { width, values, scales } = to;
  for (let step = 0; step < count; step++) {
    const start = step * width;
    let largest = 0;
    for (let i = start; i < start + width; i++) largest = Math.max(largest, Math.abs(from[i] ?? 0));
    const share = largest > 0 ? LARGEST / largest : 0;
    scales[first + step] = largest / LARGEST;
    const shift = (first + step) * width - start;
    for (let i = start; i < start + width; i++) values[i + shift] = Math.round((from[i] ?? 0) * share);
  }
}

/** Writes `count` steps from step `first` on to `to`, [count, width], from its step `at` on. */
export function readSteps(from: HeldSteps, first: number, count: number, to: Float32Array, at: number): void {
  const { width, values, scales } = from;
  const even = width & ~3;
  for (let step = 0; step < count; step++) {
    const scale = scales[first + step] ?? 0;
    const start = (first + step) * width;
    const shift = (at + step) * width - start;
    // Four at a time take half as long.
    let i = start;
    for (; i < start + even; i += 4) {
      to[i + shift] = (values[i] ?? 0) * scale;
      to[i + 1 + shift] = (values[i + 1] ?? 0) * scale;
      to[i + 2 + shift] = (values[i + 2] ?? 0) * scale;
      to[i + 3 + shift] = (values[i + 3] ?? 0) * scale;
    }
    for (; i < start + width; i++) to[i + shift] = (values[i] ?? 0) * scale;
  }
}

/** Copies `count` steps, as they are held. */
export function copySteps(from: HeldSteps, first: number, count: number, to: HeldSteps, at: number): void {
  const { width } = from;
  to.values.set(from.values.subarray(first * width, (first + count) * width), at * width);
  to.scales.set(from.scales.subarray(first, first + count), at);
}

/** Nothing of a voice stays in them. */
export function wipeSteps({ width, values, scales }: HeldSteps, first: number, count: number): void {
  values.fill(0, first * width, (first + count) * width);
  scales.fill(0, first, first + count);
}
