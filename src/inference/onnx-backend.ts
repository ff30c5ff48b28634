/** Runs a model with ONNX Runtime, in a thread that computes with one thread of its own. Its thread is onnx-worker.ts. */
import { WorkerBackend, type WorkerBackendOptions } from "./worker-backend.ts";

export type OnnxBackendOptions = WorkerBackendOptions;

// From source the thread is TypeScript, which Node ≥ 22.18 runs as it is; in the package it is the compiled file.
const SCRIPT = new URL(
  import.meta.url.endsWith(".ts") ? "./onnx-worker.ts" : "./onnx-worker.js",
  import.meta.url,
);

export class OnnxBackend extends WorkerBackend {
  constructor(options: OnnxBackendOptions = {}) {
    super("onnxruntime-node", SCRIPT, options, { streams: true });
  }
}
