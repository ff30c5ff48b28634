/** The real ONNX thread, which besides dies in a batch of 3 windows and hangs in one of 2. For tests of what the main side does then. */
import { parentPort } from "node:worker_threads";
import type { ToWorker } from "../../src/inference/worker-protocol.ts";
import "../../src/inference/onnx-worker.ts";

parentPort?.on("message", (message: ToWorker) => {
  if (message.kind !== "run") return;
  if (message.rows.length === 3) process.exit(7);
  if (message.rows.length === 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
