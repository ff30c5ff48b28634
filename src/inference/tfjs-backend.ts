/**
 * Runs a model with TensorFlow.js: `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node`, else
 * `@tensorflow/tfjs-backend-wasm` with `@tensorflow/tfjs`. Which of them is installed is the user's choice. Its thread is
 * tfjs-worker.ts.
 */
import { WorkerBackend, type WorkerBackendOptions } from "./worker-backend.ts";

export interface TfjsBackendOptions extends WorkerBackendOptions {
  /** Folders whose `node_modules` may hold the packages, besides Tonetap's own. Default: the working directory. */
  readonly packages?: readonly string[];
}

// See onnx-backend.ts.
const SCRIPT = new URL(
  import.meta.url.endsWith(".ts") ? "./tfjs-worker.ts" : "./tfjs-worker.js",
  import.meta.url,
);

export class TfjsBackend extends WorkerBackend {
  constructor(options: TfjsBackendOptions = {}) {
    super("tfjs", SCRIPT, options, { packages: options.packages ?? [process.cwd()] });
  }
}
