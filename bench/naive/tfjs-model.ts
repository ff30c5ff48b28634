/**
 * The model's architecture in TensorFlow.js, with made-up weights: what it costs is the same. The network is that of
 * training/model.py; its widths are scaled to the multiply-adds of the model that Tonetap runs.
 */

/** The packages are installed on demand, so their types may not be there: these are the parts that are used. */
export interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}

interface TfCore {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  getBackend(): string;
  tidy<T>(run: () => T): T;
  keep(tensor: Tensor): Tensor;
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  randomNormal(shape: readonly number[], mean: number, deviation: number): Tensor;
  conv2d(
    x: Tensor,
    kernel: Tensor,
    strides: readonly [number, number],
    padding: "same",
    format: "NHWC",
    dilations: readonly [number, number],
  ): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  square(x: Tensor): Tensor;
  sqrt(x: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  softmax(x: Tensor): Tensor;
  mean(x: Tensor, axis: number, keepDims: boolean): Tensor;
  max(x: Tensor, axis: number, keepDims: boolean): Tensor;
  sum(x: Tensor, axis: number, keepDims: boolean): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  transpose(x: Tensor, order: readonly number[]): Tensor;
  reshape(x: Tensor, shape: readonly number[]): Tensor;
}

interface TfWasm {
  setWasmPaths(folder: string): void;
  setThreadsCount?(threads: number): void;
}

export interface ModelSize {
  /** T */
  readonly frames: number;
  /** C */
  readonly channels: number;
  /** L */
  readonly labels: number;
  /** Of one window; the widths are scaled to come close. */
  readonly multiplyAdds: number;
}

/** Widths of training/model.py. */
const STEM = 64;
const WIDTH = 96;
const HEADS = 4;
const DILATIONS = [1, 2, 4];

export interface TfjsModel {
  /** Backend in use: `wasm`, or `cpu` (plain JavaScript) when that one does not load. */
  readonly backend: string;
  /** Multiply-adds of one window. */
  readonly multiplyAdds: number;
  /** @param features [T, C] @returns probabilities, one a label */
  predict(features: Float32Array): Float32Array;
}

/** @param wasmFolder where the wasm backend's binaries are, with a slash at the end */
export async function createTfjsModel(size: ModelSize, wasmFolder: string): Promise<TfjsModel> {
  const tf = (await load("@tensorflow/tfjs-core")) as TfCore;
  await chooseBackend(tf, wasmFolder);
  const usual = new Network(tf, size, 1);
  // Multiply-adds go with the square of the widths.
  const net = new Network(tf, size, Math.sqrt(size.multiplyAdds / usual.multiplyAdds));
  net.predict(new Float32Array(size.frames * size.channels));
  return {
    backend: tf.getBackend(),
    multiplyAdds: net.multiplyAdds,
    predict: (features) => net.predict(features),
  };
}

async function chooseBackend(tf: TfCore, wasmFolder: string): Promise<void> {
  try {
    const wasm = (await load("@tensorflow/tfjs-backend-wasm")) as TfWasm;
    wasm.setWasmPaths(wasmFolder);
    if (await tf.setBackend("wasm")) {
      await tf.ready();
      return;
    }
    console.error("tfjs: the wasm backend does not start; using cpu");
  } catch (error) {
    console.error(`tfjs: no wasm backend (${error instanceof Error ? error.message : error}); using cpu`);
  }
  await load("@tensorflow/tfjs-backend-cpu");
  await tf.setBackend("cpu");
  await tf.ready();
}

/** A name in a variable: the compiler must not look for a package that may not be installed. */
const load = (name: string): Promise<unknown> => import(name);

type Layer = (x: Tensor) => Tensor;

class Network {
  multiplyAdds = 0;
  readonly #tf: TfCore;
  readonly #size: ModelSize;
  readonly #stem: Layer;
  readonly #blocks: readonly Layer[];
  readonly #head: Layer;

  /** @param scale of the widths */
  constructor(tf: TfCore, size: ModelSize, scale: number) {
    this.#tf = tf;
    this.#size = size;
    const stem = HEADS * Math.round((STEM * scale) / HEADS);
    const width = HEADS * Math.round((WIDTH * scale) / HEADS);
    const frames = Math.ceil(size.frames / 4);
    const first = this.#conv(size.channels, stem, 5, { stride: 2, frames: Math.ceil(size.frames / 2) });
    const second = this.#conv(stem, width, 5, { stride: 2, frames });
    const attend = this.#attention(width, frames);
    this.#stem = (x) => attend(tf.relu(second(tf.relu(first(x)))));
    this.#blocks = DILATIONS.map((dilation) => {
      const one = this.#conv(width, width, 3, { dilation, frames });
      const two = this.#conv(width, width, 3, { frames });
      const gate = this.#attention(width, frames);
      return (x) => gate(tf.relu(tf.add(x, two(tf.relu(one(x))))));
    });
    this.#head = this.#pooledHead(width, frames);
  }

  predict(features: Float32Array): Float32Array {
    const tf = this.#tf;
    const { frames, channels } = this.#size;
    const result = tf.tidy(() => {
      let x = this.#stem(tf.tensor(features, [1, 1, frames, channels]));
      const outputs = this.#blocks.map((block) => {
        x = block(x);
        return x;
      });
      return this.#head(tf.concat(outputs, 3));
    });
    const probabilities = result.dataSync();
    result.dispose();
    return probabilities;
  }

  #conv(
    from: number,
    to: number,
    kernel: number,
    { stride = 1, dilation = 1, frames }: { stride?: number; dilation?: number; frames: number },
  ): Layer {
    const tf = this.#tf;
    const weights = tf.keep(tf.randomNormal([1, kernel, from, to], 0, Math.sqrt(2 / (kernel * from))));
    const bias = tf.keep(tf.randomNormal([to], 0, 0.01));
    this.multiplyAdds += kernel * from * to * frames;
    return (x) => tf.add(tf.conv2d(x, weights, [1, stride], "same", "NHWC", [1, dilation]), bias);
  }

  /** Channel attention, then spatial attention, as in CBAM. */
  #attention(width: number, frames: number): Layer {
    const tf = this.#tf;
    const hidden = Math.max(8, width >> 3);
    const squeeze = this.#conv(width, hidden, 1, { frames: 1 });
    const excite = this.#conv(hidden, width, 1, { frames: 1 });
    const channel: Layer = (x) => excite(tf.relu(squeeze(x)));
    const spatial = this.#conv(2, 1, 7, { frames });
    return (x) => {
      const gates = tf.add(channel(tf.mean(x, 2, true)), channel(tf.max(x, 2, true)));
      const gated = tf.mul(x, tf.sigmoid(gates));
      const summary = tf.concat([tf.mean(gated, 3, true), tf.max(gated, 3, true)], 3);
      return tf.mul(gated, tf.sigmoid(spatial(summary)));
    };
  }

  /** Join, attention-weighted mean and deviation over time, two dense layers. */
  #pooledHead(width: number, frames: number): Layer {
    const tf = this.#tf;
    const joined = 2 * width;
    const join = this.#conv(DILATIONS.length * width, joined, 1, { frames });
    const score = this.#conv(joined, 64, 1, { frames });
    const weigh = this.#conv(64, HEADS, 1, { frames });
    const hidden = this.#conv(2 * joined, 96, 1, { frames: 1 });
    const classify = this.#conv(96, this.#size.labels, 1, { frames: 1 });
    return (input) => {
      const x = tf.relu(join(input));
      // [1, T, HEADS, 1]: each head's weights sum to 1 over time.
      const scores = tf.transpose(weigh(tf.tanh(score(x))), [0, 1, 3, 2]);
      const weights = tf.reshape(tf.transpose(tf.softmax(scores), [0, 1, 3, 2]), [1, frames, HEADS, 1]);
      const parts = tf.reshape(x, [1, frames, HEADS, joined / HEADS]);
      const mean = tf.sum(tf.mul(parts, weights), 1, true);
      const variance = tf.sum(tf.mul(tf.square(tf.sub(parts, mean)), weights), 1, true);
      const deviation = tf.sqrt(tf.relu(variance));
      const flat = [mean, deviation].map((part) => tf.reshape(part, [1, 1, 1, joined]));
      const logits = classify(tf.relu(hidden(tf.concat(flat, 3))));
      return tf.softmax(tf.reshape(logits, [1, this.#size.labels]));
    };
  }
}
